"""A headless Chromium: Debian's, driven by Playwright, which brings none of its own here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["chromium", "opened"]

# Milliseconds, against hanging.
_TIMEOUT = 30_000


def chromium() -> Iterator[Browser]:
    """A fixture: the browser, closed at the end; without one the test is skipped."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    with sync_playwright() as playwright:
        # Its sandbox does not run as root, and it meets nothing here but the tests' own pages.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, expected: str | None = None, *, width: int = 1280) -> Iterator[Page]:
    """The page, by somebody without cookies. At the end it has complained of nothing; or of ``expected`` alone."""
    complaints: list[str] = []
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        context.set_default_timeout(_TIMEOUT)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        page.goto(url)
        yield page
    assert bool(complaints) == (expected is not None), complaints
    assert all(expected is not None and expected in complaint for complaint in complaints), complaints
