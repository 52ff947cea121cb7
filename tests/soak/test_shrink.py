"""A failure is made smaller, within a number of tries."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import tests.soak.__main__ as soak
from tests.soak.chaos import Chaos
from tests.soak.model import Complaint, Loss
from tests.soak.run import Life, Plan
from tests.soak.short import plan
from tests.soak.shrink import shrink


@given(
    st.integers(1, 200).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1, max_size=4))
    )
)
def test_with_enough_tries_what_it_takes_is_left_and_nothing_else(case: tuple[int, set[int]]) -> None:
    size, guilty = case

    def fails(items: Sequence[int]) -> bool:
        return guilty <= set(items)

    assert shrink(range(size), fails, 10_000) == sorted(guilty)


def test_what_was_not_seen_to_fail_is_not_left_out() -> None:
    assert shrink(range(5), lambda items: False, 100) == [0, 1, 2, 3, 4]
    assert shrink([1], lambda items: True, 100) == [1]


def test_it_ends_after_so_many_tries() -> None:
    asked: list[int] = []

    def fails(items: Sequence[int]) -> bool:
        asked.append(len(items))
        return 77 in items

    left = shrink(range(100), fails, 3)
    assert len(asked) == 3
    assert 77 in left
    assert len(left) < 100


def test_a_life_that_fails_is_told_by_the_command_that_plays_as_little_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes two requests, of which one is seen to be wrong."""
    whole = plan("granian", "bridge", 7, 40, Chaos.KILL)

    def lives(again: Plan) -> Life:
        life = Life(again)
        played = {scenario.index: scenario for scenario in again.scenarios}
        if {3, 17} <= played.keys():
            life.complaints.append(Complaint(Loss.WRONG_BYTES, "of another one", played[17]))
        elif 5 in played:
            life.complaints.append(Complaint(Loss.HANGS, "something else", played[5]))
        return life

    monkeypatch.setattr(soak, "_live", lives)
    soak._explain(lives(whole), Console(width=132), 1000)
    said = capsys.readouterr().out
    assert "again, with 2 of 40:" in said
    assert "--server granian --adapter bridge --seed 7 --chaos kill --indices 3,17\n" in said
    (again,) = soak._plans(whole.server, "bridge", 7, 2000, Chaos.KILL, [3, 17])
    assert again == replace(whole, scenarios=[whole.scenarios[3], whole.scenarios[17]])


def test_what_the_warm_up_loses_is_blamed_on_no_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each life has that one; what else a request loses is made smaller by itself."""
    whole = plan("granian", "bridge", 7, 40, Chaos.KILL)

    def lives(again: Plan, *, guilty: int | None) -> Life:
        life = Life(again, [Complaint(Loss.LOG, "at each start"), Complaint(Loss.HANGS, "always", warm)])
        life.complaints += [
            Complaint(Loss.WRONG_HEAD, "of this one", played)
            for played in again.scenarios
            if played.index == guilty
        ]
        return life

    warm = replace(whole.scenarios[0], work=replace(whole.scenarios[0].work, index=9_000_000))
    for guilty in (None, 17):
        monkeypatch.setattr(soak, "_live", partial(lives, guilty=guilty))
        soak._explain(lives(whole, guilty=guilty), Console(width=200), 1000)
        alone, command, *more = capsys.readouterr().out.splitlines()
        assert alone == (
            f"{whole}: its warm-up and {Chaos.KILL.value} alone, without any request of the plan: "
            f"{Loss.HANGS.value}, {Loss.LOG.value}:"
        )
        again = "  python -m tests.soak --server granian --adapter bridge --seed 7 --chaos kill --indices"
        assert command == f"{again} none"
        assert more == ([] if guilty is None else [f"{whole}: again, with 1 of 40:", f"{again} 17"])


def test_no_index_is_no_request() -> None:
    assert soak._indices("none") == []
    assert soak._indices("3,17") == [3, 17]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--server", "uvicorn", "--chaos", "reload"], "uvicorn has no reload"),
        (
            ["--server", "gunicorn-gthread", "--server", "granian", "--adapter", "bridge-shared"],
            "granian is played with bridge alone",
        ),
        (["--indices", "3,x"], "argument --indices: invalid"),
    ],
)
def test_what_can_not_be_played_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        soak.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
