"""The tables of docs/comparison.md, and the README's plot, from the figures of the last run:
``python -m benchmarks.comparison``.
"""

import json
from pathlib import Path
from typing import Any

__all__ = ["INCLUDED", "PLOT", "plot", "tables"]

_DOCS = Path(__file__).parent.parent / "docs"
INCLUDED = _DOCS / "benchmarks/comparison.inc"
PLOT = _DOCS / "benchmarks/summary.svg"

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


#: The README's plot: the width of a full bar, and each group's title and bars, with their colours.
_FULL = 400
_BARS = {
    "servers.uvicorn.hello": (
        "Requests a second of a WSGI app on uvicorn",
        {"native ASGI": "#2b8a3e", "bridge": "#d9480f", "a2wsgi": "#1c7ed6", "asgiref": "#7950f2"},
    ),
    "servers.gthread.hello": (
        "Requests a second of an ASGI app on gunicorn's threads",
        {"native WSGI": "#2b8a3e", "bridge": "#d9480f", "a2wsgi": "#1c7ed6"},
    ),
}
# It has a background of its own: the page around it may be light where the system is dark.
_STYLE = (
    "svg{background:#fff;font:14px sans-serif}text{fill:#24292f}.title{font-weight:bold}"
    "@media(prefers-color-scheme:dark){svg{background:#16181d}text{fill:#d5dbe1}}"
)


def plot(data: dict[str, Any]) -> str:
    """An SVG of both directions: each bar is a share of the native app's rate."""
    shapes, y = [], 10
    for group, (title, colors) in _BARS.items():
        shapes.append(f'<text class="title" x="12" y="{y + 16}">{title}; native: 1</text>')
        y += 28
        for name, color in colors.items():
            ratio = data["groups"][group]["subjects"][name]["ratio"]
            width = round(ratio * _FULL)
            shapes.append(f'<text x="112" y="{y + 15}" text-anchor="end">{name}</text>')
            shapes.append(f'<rect x="120" y="{y}" width="{width}" height="20" fill="{color}"/>')
            shapes.append(f'<text x="{128 + width}" y="{y + 15}">{ratio:.2f}</text>')
            y += 25
        y += 10
    drawn = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 {y}" width="600" height="{y}">\n'
        f"<!-- {data['machine']['date']} -->\n<style>{_STYLE}</style>\n{drawn}\n</svg>\n"
    )


if __name__ == "__main__":
    figures = json.loads((_DOCS / "benchmarks/figures.json").read_text())
    INCLUDED.write_text(tables(figures))
    PLOT.write_text(plot(figures))
