"""What tests of pages share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import Page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A folder to work a page through in; what was started there is ended."""
    opened = Page(tmp_path)
    try:
        yield opened
    finally:
        opened.stop()
