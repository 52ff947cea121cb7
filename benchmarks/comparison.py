"""The tables of docs/comparison.md, from the figures of the last run: ``python -m benchmarks.comparison``."""

import json
from pathlib import Path
from typing import Any

__all__ = ["INCLUDED", "tables"]

_DOCS = Path(__file__).parent.parent / "docs"
INCLUDED = _DOCS / "benchmarks/comparison.inc"

#: A table: what it is beside, its columns, and its rows: a group of the figures, and what the row says. A column is a
#: subject of the group, or the first of several that the group has.
_TABLES = (
    (
        "A WSGI app on uvicorn; the native ASGI app is 1",
        {"bridge": ("bridge", "bridge, buffered"), "a2wsgi": ("a2wsgi",), "asgiref": ("asgiref",)},
        {
            "servers.uvicorn.hello": "requests a second, 32 connections: more is better",
            "servers.uvicorn.chunks": "time for a stream of small chunks: less is better",
            "servers.uvicorn.upload": "time for an upload of 100 MiB: less is better",
            "servers.uvicorn.download": "time for a download of 100 MiB: less is better",
        },
    ),
    (
        "An ASGI app on gunicorn's threads; the native WSGI app is 1",
        {"bridge": ("bridge",), 'bridge, `loop="shared"`': ("bridge, shared loop",), "a2wsgi": ("a2wsgi",)},
        {
            "servers.gthread.hello": "requests a second, 32 connections: more is better",
            "servers.gthread.chunks": "time for a stream of small chunks: less is better",
            "servers.gthread.upload": "time for an upload of 100 MiB: less is better",
            "servers.gthread.download": "time for a download of 100 MiB: less is better",
        },
    ),
)


def tables(data: dict[str, Any]) -> str:
    """Both directions, a table each; a dash where a peer was not measured."""
    lines: list[str] = []
    for title, columns, rows in _TABLES:
        lines += [f"**{title}**", "", f"| | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
        for group, what in rows.items():
            subjects = data["groups"][group]["subjects"]
            found = [
                next((subjects[name] for name in names if name in subjects), None)
                for names in columns.values()
            ]
            cells = ["–" if subject is None else f"{subject['ratio']:.2f}" for subject in found]
            lines.append(f"| {what} | {' | '.join(cells)} |")
        lines.append("")
    machine = data["machine"]
    lines.append(
        f"Measured on {machine['date']}: Python {machine['python']}, {machine['processors']} processors, a2wsgi "
        f"{machine['versions']['a2wsgi']}, asgiref {machine['versions']['asgiref']}."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    INCLUDED.write_text(tables(json.loads((_DOCS / "benchmarks/figures.json").read_text())))
