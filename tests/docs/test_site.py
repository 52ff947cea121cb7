"""The site is built without a warning and without a network, and in a browser each page fits its window and asks no
other host for anything.
"""

import contextlib
import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as PlaywrightTimeout

import bridge
from tests.docs.hooks import PROJECTS, rows_of
from tests.support.browser import chromium, opened
from tests.support.faults import FAULTS
from tests.support.servers import REPOSITORY, free_port

browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Nobody listens there: who asks another host for something fails.
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env=os.environ
        | {"NO_MKDOCS_2_WARNING": "1"}
        | dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))


def place(page: Path) -> str:
    """Where the site has it: "guides/django/"."""
    path = page.relative_to(REPOSITORY / "docs").with_suffix("")
    path = path.parent if path.name == "index" else path
    return "" if path == Path() else f"{path.as_posix()}/"


def test_the_site_has_each_page_of_docs_and_no_other(site: Path) -> None:
    built = sorted(page.parent.relative_to(site).as_posix() for page in site.rglob("index.html"))
    assert built == sorted(Path(place(page)).as_posix() for page in PAGES)


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)\b[^>]*\bsrc="([^"]*)"', page.read_text())
        loaded += re.findall(
            r'<link\b[^>]*\brel="(?:stylesheet|preload|icon|preconnect)"[^>]*', page.read_text()
        )
        assert loaded
        assert not [source for source in loaded if "//" in source], page


def test_the_reference_has_each_public_name(site: Path) -> None:
    text = (site / "reference/index.html").read_text()
    for name in bridge.__all__:
        assert re.search(rf'id="bridge\.(\w+\.)?{name}"', text), name


def test_each_row_of_the_faults_is_in_a_table_of_its_server(site: Path) -> None:
    text = unescape((site / "servers/index.html").read_text())
    shown = [fault for project in PROJECTS for fault in rows_of(project)]
    assert len(shown) == len(FAULTS)
    for fault in FAULTS:
        assert f"<td>{fault.does}</td>" in text, fault


def test_the_tests_of_each_promise_and_rule_can_be_unfolded(site: Path) -> None:
    for page in ("promises", "guides/security"):
        source = (REPOSITORY / f"docs/{page}.md").read_text()
        tests = re.findall(r"\btests/[\w/]+\.py(?:::\w+)?", source)
        shown = re.findall(r"<li><code>(tests/.+?)</code></li>", (site / page / "index.html").read_text())
        assert shown == tests


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    """The site, served."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


#: What is wrong with how a page looks: it scrolls sideways, something with a place of its own sticks out of it, or a
#: plot is made too small to be read.
WRONG = """() => {
    const width = document.documentElement.clientWidth, faults = [];
    if (document.documentElement.scrollWidth > width) faults.push("it scrolls sideways");
    // What a table has is the table's: it scrolls in itself.
    const parts = ":is(p, ul, ol, h1, h2, h3, pre, .md-typeset__scrollwrap):not(td *)";
    for (const element of document.querySelectorAll(`.md-content ${parts}`)) {
        const {left, right} = element.getBoundingClientRect();
        if (right - left && (right > width + 1 || left < -1)) faults.push(`${element.tagName} sticks out`);
    }
    for (const plot of document.querySelectorAll('.md-content img[src$=".svg"]'))
        if (plot.getBoundingClientRect().width < 600) faults.push(`${plot.src} is small`);
    // On a wide window nothing is cut off that a reader has to see as a whole.
    const drawings = '.md-content p:has(> img[src$=".svg"]), .drawing code';
    if (width > 1000)
        for (const whole of document.querySelectorAll(drawings))
            if (whole.scrollWidth > whole.clientWidth + 1) faults.push(`${whole.textContent.slice(0, 20)} is cut off`);
    return faults;
}"""


# One test for each: all together take a busy machine longer than a test may.
@pytest.mark.parametrize("path", [place(page) for page in PAGES])
def test_each_page_fits_its_window(browser: Browser, url: str, path: str) -> None:
    faults: dict[int, list[str]] = {}
    with opened(browser, f"{url}/{path}") as page:
        for width in (320, 390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            # The menu slides away when a window gets wider: until then the page is not what it will be.
            with contextlib.suppress(PlaywrightTimeout):
                page.wait_for_function(f"!({WRONG})().length", timeout=3000)
            if found := page.evaluate(WRONG):
                faults[width] = found
    assert not faults


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_links_and_the_header_can_be_read(browser: Browser, url: str, dark: bool) -> None:
    style = """(name) => {
        const style = getComputedStyle(document.querySelector(name));
        return [style.color, style.backgroundColor];
    }"""
    with opened(browser, url, dark=dark) as page:
        link, _ = page.evaluate(style, ".md-content a:not(.headerlink)")
        _, paper = page.evaluate(style, "body")
        text, header = page.evaluate(style, ".md-header")
    assert contrast(link, paper) >= 4.5
    assert contrast(text, header) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours, each as CSS has it: rgb(184, 58, 12)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
