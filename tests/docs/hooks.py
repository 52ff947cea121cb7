"""What mkdocs adds to the pages of docs/ when it builds the site: the tests behind each promise, folded; a table for
each server, of the rows in ``tests/support/faults``; and the texts that are in the repository's root.
"""

import re
import sys
from html import escape
from pathlib import Path
from typing import Any

# mkdocs loads this file by its path, from anywhere.
sys.path.insert(0, str(Path(__file__).parents[2]))

from packaging.requirements import Requirement

from tests.support.faults import FAULTS, Fault
from tests.support.servers import REPOSITORY

__all__ = ["PROJECTS", "on_page_content", "on_page_markdown", "rows_of", "server_tables"]

#: As the page has them: first the servers for ASGI, then those for WSGI, then a library on each of the former.
PROJECTS = (
    *("uvicorn", "hypercorn", "granian", "daphne"),
    *("gunicorn", "waitress", "uWSGI", "mod_wsgi", "cheroot", "wsgiref"),
    "simple-websocket",
)
#: Libraries that do it in a server's place.
LIBRARIES = {"zttp": "uvicorn", "wsproto": "uvicorn", "h2": "hypercorn", "Python": "gunicorn"}
#: The servers of rows that are about a part of one.
PARTS = {
    ("granian-wsgi",): ("WSGI",),
    ("hypercorn-h2", "hypercorn-h2c"): ("HTTP/2",),
    ("uvicorn-wsproto",): ("--ws wsproto",),
}
#: Pages with drawings and plots as wide as the page: the list of headings beside them would cut these off.
WIDE = {"benchmarks.md", "how-it-works.md", "soak.md"}
_TABLES = "<!-- a table for each server -->"
_COMMENT = re.compile(r"\s*<!-- (tests/.+?) -->(</p>|)", re.DOTALL)
#: Code that fits into the line of a phone.
_SHORT = re.compile(r"<code>(?!tests/)(?=[^<]{1,28}</code>)")
_CELL = re.compile(r"<td>((?:<code>tests/[^<]+</code>(?:, )?)+)</td>")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    if whole := re.fullmatch(r"<!-- file: (\w+\.md) -->", markdown.strip()):
        # Its links are to the files of the repository.
        markdown = (REPOSITORY / whole[1]).read_text().replace("](docs/", "](")
    return markdown.replace(_TABLES, server_tables())


def on_page_content(html: str, page: Any, **_: Any) -> str:
    if page.file.src_uri in WIDE:
        html = html.replace('<div class="highlight">', '<div class="highlight drawing">')
    html = _SHORT.sub('<code class="short">', html)
    html = _COMMENT.sub(lambda point: f"{point[2]}{_folded(point[1].split())}", html)
    return _CELL.sub(lambda cell: f"<td>{_folded(re.findall(r'<code>(.+?)</code>', cell[1]))}</td>", html)


def _folded(tests: list[str]) -> str:
    names = "".join(f"<li><code>{escape(test)}</code></li>" for test in tests)
    count = f"{len(tests)} tests" if len(tests) > 1 else "1 test"
    return f'<details class="tests"><summary>{count}</summary><ul>{names}</ul></details>'


def server_tables() -> str:
    """For each server a heading and a table in Markdown, of the rows that are true of some version of it."""
    return "\n\n".join(_table(project) for project in PROJECTS if rows_of(project))


def rows_of(project: str) -> list[Fault]:
    """The rows about a server of this name, or about a library of it."""
    names = {
        project,
        project.lower(),
        *(library for library, server in LIBRARIES.items() if server == project),
    }
    return [fault for fault in FAULTS if Requirement(fault.versions).name in names]


def _table(project: str) -> str:
    lines = [f"### {project}", "", "| about | what it does | versions | what is right |", "|---|---|---|---|"]
    for fault in rows_of(project):
        about = ", ".join([fault.name, *PARTS.get(fault.servers, ())])
        right = fault.right or f"it may: {fault.lawful}"
        lines.append(
            f"| {about} | {fault.does} | {_versions(fault, project)} | {right} |".replace("_", r"\_")
        )
    return "\n".join(lines)


def _versions(fault: Fault, project: str) -> str:
    requirement = Requirement(fault.versions)
    words = {"<": "before", ">=": "from"}
    said = [f"{words[one.operator]} {one.version}" for one in requirement.specifier]
    if requirement.name in LIBRARIES:
        said.append(f"with {requirement.name}")
    if requirement.marker is not None:
        said.append(str(requirement.marker).replace("python_version", "Python").replace('"', ""))
    return ", ".join(said) or "all"
