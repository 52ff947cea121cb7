"""A headless Chromium: Debian's, driven by Playwright, which brings none of its own here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from .processes import alive
from .servers import poll

__all__ = ["chromium", "opened"]

# Milliseconds, against hanging.
_TIMEOUT = 30_000


def chromium() -> Iterator[Browser]:
    """A fixture: the browser, of which nothing is left at the end; without one the test is skipped."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    before = set(psutil.Process().children(recursive=True))
    with sync_playwright() as playwright:
        # Its sandbox does not run as root, and it meets nothing here but the tests' own pages.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        started = set(psutil.Process().children(recursive=True)) - before
        assert started, "a browser without a process of its own"
        yield browser
        browser.close()
    poll(lambda: not alive(started), 20, lambda: f"left of the browser: {alive(started)}")


@contextmanager
def opened(
    browser: Browser, url: str, expected: str | None = None, *, width: int = 1280, dark: bool = False
) -> Iterator[Page]:
    """The page, by somebody without cookies. At the end it has complained of nothing, or of ``expected`` alone; and it
    has asked nobody but its own server for anything.
    """
    complaints: list[str] = []
    asked: set[str] = set()
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
    ) as context:
        context.set_default_timeout(_TIMEOUT)
        page = context.new_page()
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        page.goto(url)
        yield page
    assert asked == {urlsplit(url).netloc}
    assert bool(complaints) == (expected is not None), complaints
    assert all(expected is not None and expected in complaint for complaint in complaints), complaints
