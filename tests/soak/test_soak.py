"""A short soak of two servers: with a seed that stays, and with a new one, which a failure prints.

``make soak`` is the long one. The command that a failure prints plays the same requests, and makes them fewer.
"""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.soak.chaos import Chaos
from tests.soak.model import Loss
from tests.soak.run import Plan, live
from tests.soak.scenarios import App, draw
from tests.soak.servers import SERVERS

FIXED = 20_261_128
REQUESTS = 400


def plan(
    server: str, adapter: str, seed: int, count: int, chaos: Chaos | None = None, patience: float = 20.0
) -> Plan:
    row = SERVERS[server]
    return Plan(row, adapter, seed, draw(seed, range(count), row.place), chaos, patience)


@pytest.mark.parametrize(
    ("server", "adapter", "chaos", "fixed"),
    [
        ("uvicorn", "bridge", Chaos.TERMINATE, True),
        ("uvicorn", "bridge-stream", Chaos.DESCRIPTORS, False),
        ("gunicorn-gthread", "bridge", Chaos.KILL, True),
        ("gunicorn-gthread", "bridge-shared", Chaos.RELOAD, False),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Chaos) else str(value),
)
def test_nothing_is_lost(server: str, adapter: str, chaos: Chaos, fixed: bool, tmp_path: Path) -> None:
    seed = FIXED if fixed else random.randrange(1 << 32)
    life = live(plan(server, adapter, seed, REQUESTS, chaos), tmp_path)
    told = "\n".join(str(complaint) for complaint in life.complaints[:20])
    assert not life.complaints, (
        f"seed {seed}: {dict(life.losses())}\n{told}\n"
        f"python -m tests.soak --server {server} --adapter {adapter} --seed {seed} --requests {REQUESTS} "
        f"--chaos {chaos.name.lower()}"
    )
    assert life.requests >= REQUESTS


def test_what_is_lost_is_seen(tmp_path: Path) -> None:
    """An adapter with faults of each kind, which the soak has to find."""
    life = live(plan("gunicorn-gthread", "faulty", FIXED, 120, patience=2.0), tmp_path)
    found = life.losses()
    assert found.keys() >= {Loss.WRONG_BYTES, Loss.LOOKS_WHOLE, Loss.LEFT, Loss.LOG, Loss.WRONG_ERROR}, found
    blamed = Counter(what.scenario.work.app for what in life.complaints if what.scenario is not None)
    assert set(blamed) == {App.SIZED, App.DIGEST, App.SHORT}, blamed
