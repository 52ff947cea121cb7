"""The site is built without a warning, and a page of it asks no other host for anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import REPOSITORY


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_each_page_of_docs_is_in_it(site: Path) -> None:
    for page in (REPOSITORY / "docs").rglob("*.md"):
        path = page.relative_to(REPOSITORY / "docs").with_suffix("")
        built = site / path.parent / ("" if path.name == "index" else path.name) / "index.html"
        assert built.is_file(), page


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)\b[^>]*\bsrc="([^"]*)"', page.read_text())
        loaded += re.findall(
            r'<link\b[^>]*\brel="(?:stylesheet|preload|icon|preconnect)"[^>]*', page.read_text()
        )
        assert loaded
        assert not [source for source in loaded if "//" in source], page


def test_the_reference_has_each_public_name(site: Path) -> None:
    import bridge

    text = (site / "reference/index.html").read_text()
    for name in bridge.__all__:
        assert re.search(rf'id="bridge\.(\w+\.)?{name}"', text), name
