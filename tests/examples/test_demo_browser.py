"""The shop of ``examples/migration`` in a real browser, on an ASGI server and on a WSGI one."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import ServerPool
from tests.support.browser import chromium, opened

APP = "examples.migration.site:app"

browser = pytest.fixture(scope="module")(chromium)

#: What a browser says of a handshake that got 501.
REFUSED = "Unexpected response code: 501"


@pytest.fixture(params=["uvicorn-httptools", "gunicorn-gthread"])
def page(browser: Browser, server_pool: ServerPool, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The shop's page on either kind of server."""
    server = server_pool.get(request.param, APP)
    wsgi = request.param.startswith("gunicorn")
    with opened(browser, server.url, REFUSED if wsgi else None) as page:
        settle(page)
        assert page.locator("#server").inner_text() == ("gunicorn" if wsgi else "uvicorn")
        yield page


def settle(page: Page) -> None:
    """Wait for all that the page asks for: who leaves it before makes it complain of answers that broke off."""
    expect(page.locator("#server")).to_have_text(re.compile("uvicorn|gunicorn"))
    wsgi = page.locator("#server").inner_text() == "gunicorn"
    expect(page.locator("#why" if wsgi else "#ticker-row")).to_be_visible()
    expect(page.locator("#clock-row")).to_be_visible()
    for name in ("page", "cart", "api", "products", "orders", "picture", "clock"):
        badge(page, name)


def badge(page: Page, name: str) -> str:
    """The text of a badge, when the answer that it is about has come."""
    expect(page.locator(f"#{name}-badge")).to_have_text(re.compile("Flask|FastAPI"))
    return page.locator(f"#{name}-badge").inner_text()


def ways(page: Page) -> tuple[str, str]:
    """How the server gets to the two parts, and on which threads, as the page has to say it: two patterns."""
    if page.locator("#server").inner_text() == "uvicorn":
        return (
            r"handed over by the server's loop to the thread bridge-wsgi-\d+",
            "on the server's loop, in the thread MainThread",
        )
    return (
        r"in the server's own thread ThreadPoolExecutor-\d+_\d",
        r"on a loop of its own, in the server's thread ThreadPoolExecutor-\d+_\d",
    )


def request(page: Page, name: str) -> list[str]:
    """The newest line of this request in what the page says of the bridge."""
    line = page.locator("#done tr", has=page.get_by_text(name, exact=True)).first
    expect(line).to_be_visible()
    return line.locator("td").all_inner_texts()


def test_the_badges_say_who_answered(page: Page) -> None:
    assert {badge(page, name) for name in ("page", "cart", "orders", "picture")} == {"Flask"}
    assert {badge(page, name) for name in ("api", "products", "clock")} == {"FastAPI"}


def test_how_the_server_gets_to_a_part_is_said_once(page: Page) -> None:
    old, new = page.locator("#page-side").inner_text(), page.locator("#api-side").inner_text()
    if page.locator("#server").inner_text() == "uvicorn":
        assert (old, new) == ("WSGI through WsgiToAsgi", "ASGI directly")
    else:
        assert (old, new) == ("WSGI directly", "ASGI through AsgiToWsgi")
    text = page.locator("body").inner_text()
    assert (text.count(old), text.count(new)) == (1, 1)


def test_what_the_bridge_does_is_shown_while_one_clicks(page: Page) -> None:
    old, new = ways(page)
    _, framework, way, app, everything = request(page, "GET /api/orders")
    assert (framework, re.fullmatch(old, way) is not None) == ("Flask", True), way
    assert 0 <= float(app.removesuffix(" ms")) <= float(everything.removesuffix(" ms"))
    _, framework, way, *_ = request(page, "GET /api/products")
    assert (framework, re.fullmatch(new, way) is not None) == ("FastAPI", True), way
    # The stream that is open, and what has come of it.
    row = page.locator("#clock-row td")
    assert re.fullmatch(new, row.nth(2).inner_text())
    before = row.nth(4).inner_text()
    assert re.fullmatch(r"\d+ messages", before)
    expect(row.nth(4)).not_to_have_text(before)
    # One more request has a line of its own.
    page.evaluate("fetch('/api/orders', {method: 'HEAD'})")
    assert request(page, "HEAD /api/orders")[1] == "Flask"


def test_the_clock_ticks(page: Page) -> None:
    expect(page.locator("#clock")).not_to_have_text("--:--:--")
    first = page.locator("#clock").inner_text()
    expect(page.locator("#clock")).not_to_have_text(first)


def test_the_cart_is_kept_in_the_session_and_ordered(page: Page) -> None:
    def press(name: str) -> None:
        with page.expect_navigation():
            page.get_by_role("button", name=name).last.click()
        settle(page)

    for _ in range(2):
        press("Add to cart")
    expect(page.locator("#cart td").first).to_have_text("2 × Gayo")
    press("Order")
    expect(page.locator(".flash")).to_have_text("Thank you! Your order number 1 is on its way.")
    expect(page.locator("#cart")).to_contain_text("Nothing in it yet.")


def test_the_upload_shows_its_progress_and_then_the_picture(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png(600, 800))
    limit_uploads(page, 1_000_000)
    page.evaluate("""() => {
        window.progress = [];
        new MutationObserver(() => window.progress.push(document.querySelector("#progress").value))
            .observe(document.querySelector("#progress"), {attributes: true});
    }""")
    page.locator("#upload select").select_option("huila")
    page.locator("#upload input").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#uploaded")).to_contain_text("1.44 MB of image/png, SHA-256")
    *before, last = page.evaluate("window.progress")
    assert last == 1
    assert before == sorted(before)
    assert any(0 < value < 1 for value in before), "the bar went from nothing to all at once"
    assert badge(page, "upload") == "FastAPI"
    assert request(page, "PUT /api/products/huila/picture")[1] == "FastAPI"
    page.wait_for_function("document.querySelector('[data-picture=huila]').naturalWidth === 600")
    # Now FastAPI has it.
    expect(page.locator("#picture-badge")).to_have_text("FastAPI")


def limit_uploads(page: Page, rate: int) -> None:
    """Let the page send ``rate`` bytes a second: its own machine takes any picture at once."""
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate},
    )


def png(width: int, height: int) -> bytes:
    """A picture without compression: three bytes for each dot."""
    rows = b"".join(b"\0" + bytes([y % 256, 96, 160]) * width for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 0))
        + chunk(b"IEND", b"")
    )


def test_the_ticker_is_live_on_an_asgi_server(browser: Browser, server_pool: ServerPool) -> None:
    server = server_pool.get("uvicorn-httptools", APP)
    with opened(browser, server.url) as page:
        settle(page)
        assert badge(page, "ticker") == "Flask"
        way = page.locator("#ticker-row td").nth(2).inner_text()
        assert re.fullmatch(r"handed over by the server's loop to the thread bridge-websocket-\d+", way)
        prices = page.locator("[data-price]")
        before = prices.all_inner_texts()
        page.wait_for_function(
            "before => [...document.querySelectorAll('[data-price]')].some((o, n) => o.textContent !== before[n])",
            arg=before,
        )
        assert page.locator("#why").count() == 0


def test_a_wsgi_server_s_page_says_why_the_ticker_is_not(browser: Browser, server_pool: ServerPool) -> None:
    server = server_pool.get("gunicorn-gthread", APP)
    with opened(browser, server.url, REFUSED) as page:
        settle(page)
        expect(page.locator("#why")).to_contain_text("This server speaks WSGI, which has no WebSocket")
        expect(page.locator("#ticker")).to_have_text("prices as of this page")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_fits_its_window(browser: Browser, server_pool: ServerPool, width: int, dark: bool) -> None:
    server = server_pool.get("uvicorn-httptools", APP)
    with opened(browser, server.url, width=width, dark=dark) as page:
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        places = [page.locator(name).bounding_box() for name in (".products", "aside", "#machinery")]
        tops = [place["y"] for place in places if place is not None]
        assert len(tops) == 3
        assert tops == sorted(tops), "the shop comes before the machinery"
        assert all(contrast >= 3 for contrast in page.evaluate(CONTRASTS)), "WCAG 1.4.11: graphics"


#: How much the lines of the prices stand out from what is behind them, as WCAG counts it. A canvas tells the colours,
#: whatever form the style gives them.
CONTRASTS = """() => {
    const luminance = (colour) => {
        const context = document.createElement("canvas").getContext("2d");
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((part) => part / 255)
            .map((part) => part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    return [...document.querySelectorAll(".spark polyline")].map((line) => {
        const pair = [getComputedStyle(line).stroke, getComputedStyle(line.closest(".card")).backgroundColor];
        const [low, high] = pair.map(luminance).sort((one, other) => one - other);
        return (high + .05) / (low + .05);
    });
}"""


def test_the_file_button_has_the_page_s_style(browser: Browser, server_pool: ServerPool) -> None:
    style = """([element, part]) => {
        const {borderRadius, borderColor, backgroundColor, fontFamily} =
            getComputedStyle(document.querySelector(element), part);
        return [borderRadius, borderColor, backgroundColor, fontFamily];
    }"""
    server = server_pool.get("uvicorn-httptools", APP)
    with opened(browser, server.url) as page:
        settle(page)
        button = page.evaluate(style, [".buy button", None])
        assert page.evaluate(style, ["#upload input", "::file-selector-button"]) == button
