"""What a run leaves: its figures as JSON, and tables of them for the documentation."""

import contextlib
import fcntl
import json
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from benchmarks.report import machine

from .chaos import Chaos
from .model import Loss
from .run import Life

__all__ = ["Part", "add", "as_data", "begin", "read", "tables"]

Part = Literal["lives", "peers"]

_REPORT = "report.json"
_DIRECTIONS = {"wsgi": "A WSGI app on ASGI servers", "asgi": "An ASGI app on WSGI servers"}


def as_data(life: Life) -> dict[str, Any]:
    """A life, as JSON takes it."""
    plan = life.plan
    return {
        "server": plan.server.name,
        "direction": plan.server.direction,
        "adapter": plan.adapter,
        "seed": plan.seed,
        "scenarios": len(plan.scenarios),
        "requests": life.requests,
        "seconds": round(life.seconds, 1),
        "done": plan.chaos.value if plan.chaos is not None else None,
        "slopes": {name: round(slope, 3) for name, slope in life.slopes.items()},
        "losses": {loss.name: number for loss, number in life.losses().items()},
    }


def read(folder: Path) -> dict[str, Any]:
    """The report there; an empty one if there is none."""
    path = folder / _REPORT
    if not path.exists():
        return {"lives": [], "peers": []}
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def begin(folder: Path, part: Part) -> None:
    """Leave that part of the report empty, and the other one as it is."""
    with _changed(folder) as data:
        data[part] = []


def add(folder: Path, part: Part, life: Life) -> None:
    """Add a life to the report there. It is done after each one: a long run may be ended."""
    with _changed(folder) as data:
        data[part].append(as_data(life))


@contextlib.contextmanager
def _changed(folder: Path) -> Iterator[dict[str, Any]]:
    """The report, to be changed in the block, and written with its tables: by one process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        data = read(folder)
        yield data
        data["machine"] = machine()
        for name, text in {_REPORT: json.dumps(data, indent=1) + "\n", **tables(data)}.items():
            (folder / name).write_text(text)
    finally:
        os.close(lock)


def tables(data: dict[str, Any]) -> dict[str, str]:
    """What the documentation includes, by the names of the files."""
    return {"soak.inc": _soak(data["lives"], data["machine"]), "peers.inc": _peers(data["peers"])}


def _soak(lives: list[dict[str, Any]], of: dict[str, Any]) -> str:
    lines: list[str] = []
    for direction, title in _DIRECTIONS.items():
        those = [life for life in lives if life["direction"] == direction]
        rows: dict[str, list[dict[str, Any]]] = {}
        for life in those:
            rows.setdefault(f"{life['server']}, {life['adapter']}", []).append(life)
        lines += [f"**{title}: {sum(life['requests'] for life in those):,} requests**", ""]
        lines += [
            "| server | requests | lost | objects left | bytes left |",
            "|---|--:|--:|--:|--:|",
        ]
        for name, row in rows.items():
            requests = sum(life["requests"] for life in row)
            lines.append(
                f"| {name} | {requests:,} | {sum(sum(life['losses'].values()) for life in row)} | "
                f"{_median(row, 'objects')} | {_median(row, 'memory')} |"
            )
        lines.append("")
        done = Counter(life["done"] for life in those if life["done"])
        turns = [f"{done[chaos.value]} x {chaos.value}" for chaos in Chaos if done[chaos.value]]
        lines += [f"Lives: {len(those)}, with {'; '.join(turns)}.", ""]
    versions = ", ".join(f"{name} {number}" for name, number in of["versions"].items())
    lines.append(
        f"{of['date']}: Python {of['python']}, {of['system']}, {of['processors']} processors; {versions}."
    )
    return "\n".join(lines) + "\n"


def _median(lives: Iterable[dict[str, Any]], name: str) -> str:
    slopes = [life["slopes"][name] for life in lives if name in life["slopes"]]
    # Not "-0.00".
    return f"{round(statistics.median(slopes), 2) + 0.0:.2f}" if slopes else "-"


def _peers(lives: list[dict[str, Any]]) -> str:
    lines: list[str] = []
    for direction, title in _DIRECTIONS.items():
        those = [life for life in lives if life["direction"] == direction]
        if not those:
            continue
        lines += [f"**{title}: {those[0]['server']}**", ""]
        lines += [
            "| | " + " | ".join(life["adapter"] for life in those) + " |",
            "|---|" + "--:|" * len(those),
            "| requests | " + " | ".join(f"{life['requests']:,}" for life in those) + " |",
        ]
        for loss in Loss:
            if loss is Loss.LOG:
                continue  # what is expected there are the bridge's words
            numbers = [life["losses"].get(loss.name, 0) for life in those]
            if any(numbers):
                lines.append(f"| {loss.value} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
        lines.append("")
    return "\n".join(lines) + "\n"
