"""Memory that grows with each request is told from caches and noise; a task says where it waits; calls gather."""

import asyncio
import math
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak import counts
from tests.soak.checks import Sample, check_memory
from tests.soak.counts import Gathered, waits_in

BYTES = 50_000_000


def samples(objects: Callable[[int], float], memory: Callable[[int], float]) -> list[tuple[int, Sample]]:
    counts = range(250, 3250, 250)
    return [
        (count, Sample(7, {}, {"objects": int(objects(count)), "memory": int(memory(count))}))
        for count in counts
    ]


def flat(_: int) -> float:
    return 30_000


@pytest.mark.parametrize("each", [1, 3, 50])
def test_objects_that_stay(each: int) -> None:
    slopes, (complaint,) = check_memory(samples(lambda count: 30_000 + each * count, lambda _: BYTES))
    assert slopes["objects"] == pytest.approx(each)
    assert "objects each request" in complaint.text


def test_bytes_that_stay() -> None:
    chance = random.Random(1)
    growing = samples(flat, lambda count: BYTES + 8192 * count + chance.randrange(500_000))
    (complaint,) = check_memory(growing)[1]
    assert "memory each request" in complaint.text


def test_what_is_no_growth_with_requests() -> None:
    chance = random.Random(2)
    for memory in (
        lambda count: BYTES + chance.randrange(300_000),
        lambda count: BYTES + (9_000_000 if count > 1500 else 0),
        lambda count: BYTES + 9_000_000 * (1 - math.exp(-count / 300)),
    ):
        assert not check_memory(samples(flat, memory))[1]


def test_a_few_samples_say_nothing() -> None:
    assert check_memory(samples(lambda count: count, lambda count: 9000 * count)[:6]) == ({}, [])


def test_a_temporary_file_counts_once_open_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def count() -> int:
        return counts._process([])["temporary files"]

    assert count() == 0
    with tempfile.TemporaryFile(), tempfile.NamedTemporaryFile(delete=False) as named:
        assert count() == 2
    assert count() == 1
    Path(named.name).unlink()
    assert count() == 0


def test_a_task_says_where_it_waits() -> None:
    async def outer(event: asyncio.Event) -> None:
        await inner(event)

    async def inner(event: asyncio.Event) -> None:
        await event.wait()

    async def main() -> str:
        event = asyncio.Event()
        task = asyncio.ensure_future(outer(event))
        await asyncio.sleep(0)
        said = waits_in(task)
        event.set()
        await task
        return said

    names = [word.rpartition(":")[0].rpartition(".")[2] for word in asyncio.run(main()).split(" > ")]
    assert names[:3] == ["outer", "inner", "wait"]


def test_calls_go_on_together() -> None:
    gathered = Gathered()
    first, second = gathered.come(2), gathered.come(2)
    third = gathered.come(2)
    assert first()
    assert second()
    assert not third()
    assert gathered.come(2)()
    assert third()


def test_nobody_waits_for_one_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = Gathered()
    patient = gathered.come(3)
    assert not patient()
    monkeypatch.setattr(counts, "_GATHER", -1.0)
    assert gathered.come(3)()
    assert patient()
    monkeypatch.undo()
    assert gathered.come(3)()
    assert not gathered.come(3)()
