"""What a run leaves: its figures as JSON, and plots of them as SVG.

The plots have no background, and their ink is the text colour of light or dark pages, whichever the reader has.
"""

import datetime
import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .account import Account
from .curves import Points
from .measure import Outcome, Settings

__all__ = ["as_data", "draw", "machine", "summary", "write"]

#: Drawn in this colour, and then given that of the scheme by a style sheet.
_INK = "#123456"
#: With a background of its own: the page around it may be light where the system is dark, and the other way about.
_STYLE = (
    "<style>svg{color:#24292f;background:#fff}"
    "@media (prefers-color-scheme:dark){svg{color:#d5dbe1;background:#16181d}}</style>"
)
#: Of each subject, in every plot; legible on white and on black. Those that aren't here take the rest in turn.
_COLORS = {
    "bridge": "#d9480f",
    "bridge, shared loop": "#f59f00",
    "a2wsgi": "#1c7ed6",
    "asgiref": "#7950f2",
    "native ASGI": "#2b8a3e",
    "native WSGI": "#2b8a3e",
}
_OTHERS = ("#868e96", "#15aabf", "#e64980", "#82c91e", "#be4bdb", "#fd7e14")
_VERSIONS = (
    "asgi-wsgi-bridge",
    "a2wsgi",
    "asgiref",
    "uvicorn",
    "hypercorn",
    "granian",
    "gunicorn",
    "waitress",
)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load average at the start": round(os.getloadavg()[0], 2),
        "versions": {name: version(name) for name in _VERSIONS},
    }


def as_data(
    of: dict[str, Any],
    settings: Settings,
    outcomes: Iterable[Outcome],
    curves: Iterable[Points],
    accounts: Sequence[Account],
) -> dict[str, Any]:
    """All figures of a run, as JSON takes them: medians, each round, and the ratio to the reference."""
    return {
        "machine": of,
        "rounds": settings.rounds,
        "groups": {
            outcome.group.name: {
                "title": outcome.group.title,
                "measures": outcome.group.measures,
                "reference": outcome.group.reference,
                "subjects": {
                    name: {
                        "seconds each": statistics.median(sample.each for sample in samples),
                        "rounds": [sample.each for sample in samples],
                        "cpu seconds each": sum(s.cpu for s in samples) / sum(s.count for s in samples),
                        "failed": sum(sample.failed for sample in samples),
                        "ratio": outcome.ratio(name, outcome.group.reference),
                    }
                    for name, samples in outcome.samples.items()
                },
            }
            for outcome in outcomes
        },
        "account": {account.title: account.parts for account in accounts},
        "beside": {account.title: account.beside for account in accounts},
        "curves": {
            points.curve.name: {
                "title": points.curve.title,
                "axis": points.curve.axis,
                "figure": points.curve.figure,
                "subjects": points.figures,
            }
            for points in curves
        },
    }


def write(folder: Path, data: dict[str, Any]) -> list[Path]:
    """``figures.json``, and the tables and plots of it, in ``folder``; the paths of all."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "figures.json"
    figures.write_text(json.dumps(data, indent=1) + "\n")
    # What a reader gets is what was written: numbers as keys have become text.
    return [figures, *draw(folder, json.loads(figures.read_text()))]


def draw(folder: Path, data: dict[str, Any]) -> list[Path]:
    """Tables and plots of ``figures.json``: each kind of which there are figures."""
    import matplotlib as mpl

    tables = folder / "figures.inc"
    tables.write_text(_tables(data))

    mpl.use("svg")
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "bridge",
            "font.family": "sans-serif",
            "font.size": 9,
            **dict.fromkeys(
                (
                    "text.color",
                    "axes.labelcolor",
                    "axes.edgecolor",
                    "xtick.color",
                    "ytick.color",
                    "axes.titlecolor",
                ),
                _INK,
            ),
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        drawn = [
            _bars(folder / "throughput.svg", data, "rate"),
            _bars(folder / "transfers.svg", data, "time"),
            *(
                _lines(folder / f"cost-{place}.svg", data, f"curves.{place}.")
                for place in ("uvicorn", "gthread")
            ),
        ]
    return [tables, *(path for path in drawn if path is not None)]


def _tables(data: dict[str, Any]) -> str:
    """What a page of the documentation includes."""
    lines: list[str] = []
    for group in data["groups"].values():
        rate = group["measures"] == "rate"
        figure, ratio = ("requests/s", "rate") if rate else ("ms", "time")
        lines += [f"**{group['title'][:1].upper()}{group['title'][1:]}**", ""]
        lines += [f"| | {figure} | CPU us each | {ratio} / {group['reference']} |", "|---|--:|--:|--:|"]
        for name, subject in group["subjects"].items():
            each = subject["seconds each"]
            number = f"{1 / each:,.0f}" if rate else f"{each * 1e3:,.1f}"
            lines.append(
                f"| {name} | {number} | {subject['cpu seconds each'] * 1e6:,.1f} | {subject['ratio']:.2f} |"
            )
        lines.append("")
    for title, parts in data["account"].items():
        whole = sum(parts.values())
        lines += [f"**One request, {title}**", "", "| | CPU us | share |", "|---|--:|--:|"]
        lines += [f"| {name} | {each:.1f} | {each / whole:.0%} |" for name, each in parts.items()]
        lines.append(f"| the whole | {whole:.1f} | |")
        # Figures of an older run have none.
        beside = data.get("beside", {}).get(title, {})
        lines += [f"| beside it: {name} | {each:.1f} | {each / whole:.0%} |" for name, each in beside.items()]
        lines.append("")
    of = data["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in of["versions"].items())
    lines.append(
        f"Measured on {of['date']}: Python {of['python']}, {of['system']}, {of['processors']} processors; {versions}."
    )
    return "\n".join(lines) + "\n"


def summary(data: dict[str, Any]) -> str:
    """The README's sentences."""

    def ratio(group: str, subject: str) -> str:
        return f"{data['groups'][group]['subjects'][subject]['ratio']:.2f}"

    hello, down, gthread = "servers.uvicorn.hello", "servers.uvicorn.download", "servers.gthread.hello"
    return (
        f"On uvicorn a WSGI app answers {ratio(hello, 'bridge')} times as many requests a second as a native ASGI app "
        f"(with a2wsgi {ratio(hello, 'a2wsgi')}, with asgiref {ratio(hello, 'asgiref')}), and a download of 100 MiB "
        f"takes {ratio(down, 'bridge')} times as long ({ratio(down, 'a2wsgi')} and {ratio(down, 'asgiref')}). On "
        f"gunicorn's threads an ASGI app answers {ratio(gthread, 'bridge')} times as many as a native WSGI app "
        f"(with a2wsgi {ratio(gthread, 'a2wsgi')})."
    )


def _color(name: str, others: list[str]) -> str:
    if name in _COLORS:
        return _COLORS[name]
    if name not in others:
        others.append(name)
    return _OTHERS[others.index(name) % len(_OTHERS)]


def _bars(path: Path, data: dict[str, Any], measures: str) -> Path | None:
    """For each group on servers: rates (or times) beside those of the reference, and processor time."""
    from matplotlib.figure import Figure

    groups = [
        group
        for name, group in data["groups"].items()
        if name.startswith("servers.") and group["measures"] == measures
    ]
    if not groups:
        return None
    heights = [len(group["subjects"]) for group in groups]
    figure = Figure(figsize=(9.2, 0.27 * sum(heights) + 0.75 * len(groups) + 0.5), layout="constrained")
    axes = figure.subplots(len(groups), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    others: list[str] = []
    for row, group in zip(axes, groups, strict=True):
        names = list(group["subjects"])
        subjects = group["subjects"].values()
        scale, unit = (1e6, "us per request") if measures == "rate" else (1e3, "ms")
        columns = (
            ([subject["ratio"] for subject in subjects], "{:.2f}", f"{measures} / {group['reference']}"),
            ([subject["cpu seconds each"] * scale for subject in subjects], "{:,.0f}", f"CPU, {unit}"),
        )
        for axis, (values, text, label) in zip(row, columns, strict=True):
            bars = axis.barh(names, values, color=[_color(name, others) for name in names], height=0.72)
            axis.bar_label(bars, [text.format(value) for value in values], padding=3, color=_INK)
            axis.invert_yaxis()
            axis.set_xlabel(label)
            axis.set_xticks([])
            axis.spines["bottom"].set_visible(False)
            axis.tick_params(left=False)
            axis.margins(x=0.15)
        row[1].set_yticklabels([])
        row[0].set_title(group["title"], loc="left", fontsize=10, fontweight="bold", x=0)
    return _save(figure, path, data)


def _lines(path: Path, data: dict[str, Any], prefix: str) -> Path | None:
    """A plot for each curve whose name begins with ``prefix``."""
    from matplotlib.figure import Figure

    curves = [curve for name, curve in data["curves"].items() if name.startswith(prefix)]
    if not curves:
        return None
    rows = (len(curves) + 1) // 2
    figure = Figure(figsize=(9.2, 2.7 * rows + 0.6), layout="constrained")
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    others: list[str] = []
    for axis, curve in zip(axes, curves, strict=False):
        for name, points in curve["subjects"].items():
            sizes = [int(size) for size in points]
            medians = [statistics.median(figures) for figures in points.values()]
            color = _color(name, others)
            axis.plot(sizes, medians, marker="o", markersize=3.5, color=color, label=name)
            axis.fill_between(
                sizes,
                [min(f) for f in points.values()],
                [max(f) for f in points.values()],
                color=color,
                alpha=0.15,
            )
        if min(sizes) > 0:
            axis.set_xscale("log", base=2 if curve["axis"] == "bytes" else 10)
        if curve["figure"].startswith("CPU") and curve["axis"] not in {"header fields", "connections"}:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set_title(curve["title"].partition(": ")[2], loc="left", fontsize=10, fontweight="bold")
        axis.set_xlabel(curve["axis"])
        axis.set_ylabel(curve["figure"])
        if curve["axis"] == "bytes":
            axis.set_xticks(sizes, [_size(size) for size in sizes])
            axis.minorticks_off()
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    axes[0].legend(frameon=False, labelcolor=_INK)
    figure.suptitle(curves[0]["title"].partition(": ")[0], fontweight="bold")
    return _save(figure, path, data)


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _save(figure: Any, path: Path, data: dict[str, Any]) -> Path:
    of = data["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in of["versions"].items())
    note = f"Python {of['python']}, {of['system']}, {of['processors']} processors, {of['date']}\n{versions}"
    figure.supxlabel(note, fontsize=7)
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
    text = path.read_text().replace(_INK, "currentColor")
    head, tag, rest = text.partition("<defs>")
    path.write_text(head + _STYLE + tag + rest)
    return path
