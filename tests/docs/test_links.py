"""Links out of the documentation. No test asks another host: this holds what can be held without a network.

Links inside it are held by ``test_readme`` (files and headings) and by ``mkdocs build --strict``.
"""

import re
from urllib.parse import urlsplit

import pytest

from tests.support.servers import REPOSITORY

#: Where links may lead, beside the package index.
ELSEWHERE = {
    "https://keepachangelog.com": "the form of the changelog",
    "https://semver.org": "what the numbers of a version mean",
}
INDEX = "https://pypi.org/project/"
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
LINKS = [
    pytest.param(link, id=f"{page.name}:{link}")
    for page in PAGES
    for link in re.findall(r"\]\((\w+:[^)\s]+)\)|<(https?:[^>\s]+)>", page.read_text())
    for link in filter(None, link)
]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_where_it_may(link: str) -> None:
    assert urlsplit(link).scheme == "https"
    if not link.startswith(INDEX):
        assert link in ELSEWHERE, f"say in {__name__} what it is, after you have opened it"
        return
    # So the index has it, by exactly this name.
    project = re.fullmatch(rf"{INDEX}([a-z0-9-]+)/", link)
    assert project is not None, "as the index itself writes it: in lower case, with a slash at the end"
    locked = (REPOSITORY / "requirements/test.txt").read_text()
    assert re.search(rf"^{project[1]}==", locked, re.MULTILINE), f"{project[1]} is not in requirements/"


def test_each_link_that_may_be_is_there() -> None:
    assert ELSEWHERE.keys() <= {link.values[0] for link in LINKS}
