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
    expect(page.locator("#why" if wsgi else "#ticker-badge b")).to_be_visible()
    for name in ("page", "cart", "api", "products", "orders", "picture", "clock"):
        badge(page, name)


def badge(page: Page, name: str) -> str:
    """The text of a badge, when the answer that it is about has come."""
    expect(page.locator(f"#{name}-badge b")).to_be_visible()
    return page.locator(f"#{name}-badge").inner_text()


def sides(page: Page) -> tuple[str, str]:
    """What the badges of the two parts have to say."""
    if page.locator("#server").inner_text() == "uvicorn":
        return "Flask · WSGI through WsgiToAsgi on uvicorn", "FastAPI · ASGI directly on uvicorn"
    return "Flask · WSGI directly on gunicorn", "FastAPI · ASGI through AsgiToWsgi on gunicorn"


def test_the_badges_say_who_answered(page: Page) -> None:
    old, new = sides(page)
    assert [badge(page, name) for name in ("page", "cart", "orders", "picture")] == [old] * 4
    assert [badge(page, name) for name in ("api", "products", "clock")] == [new] * 3


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
    assert badge(page, "upload") == sides(page)[1]
    page.wait_for_function("document.querySelector('[data-picture=huila]').naturalWidth === 600")
    # Now FastAPI has it.
    expect(page.locator("#picture-badge")).to_have_text(sides(page)[1])


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
        assert badge(page, "ticker") == sides(page)[0]
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


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_its_window(browser: Browser, server_pool: ServerPool, width: int) -> None:
    server = server_pool.get("uvicorn-httptools", APP)
    with opened(browser, server.url, width=width) as page:
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
