"""A short soak, as a test: ``make soak`` is the long one."""

import random
from pathlib import Path

from .chaos import Chaos
from .run import Plan, live
from .scenarios import draw
from .servers import SERVERS

__all__ = ["FIXED", "nothing_is_lost", "plan"]

#: A seed that stays.
FIXED = 20_261_128
_REQUESTS = 400


def plan(server: str, adapter: str, seed: int, count: int, chaos: Chaos | None = None) -> Plan:
    row = SERVERS[server]
    return Plan(row, adapter, seed, draw(seed, range(count), row.place_of(adapter)), chaos)


def nothing_is_lost(server: str, adapter: str, chaos: Chaos, directory: Path, *, fixed: bool) -> None:
    """Live once, with the seed that stays or a new one. A failure says how to play it again, and to make it smaller."""
    seed = FIXED if fixed else random.randrange(1 << 32)
    life = live(plan(server, adapter, seed, _REQUESTS, chaos), directory)
    told = "\n".join(str(complaint) for complaint in life.complaints[:20])
    assert not life.complaints, (
        f"seed {seed}: {dict(life.losses())}\n{told}\n"
        f"python -m tests.soak --server {server} --adapter {adapter} --seed {seed} --requests {_REQUESTS} "
        f"--chaos {chaos.name.lower()}"
    )
    assert life.requests >= _REQUESTS
