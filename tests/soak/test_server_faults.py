"""Faults of servers that the soak has found, shown with native apps: what they decide in the soak is right for now."""

import contextlib
import math
import select
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak.checks import take_sample
from tests.soak.http1 import Http1, request_bytes
from tests.soak.model import HEAD, UNREAD, WORKER, Loss, Seen
from tests.soak.play import Playing
from tests.soak.scenarios import BEHIND, STUCK, App, Client, Scenario, Work
from tests.soak.servers import SERVERS, SoakServer, start
from tests.soak.target import Target
from tests.support.faults import hold, known, patience
from tests.support.raw import RawConnection
from tests.support.servers import poll
from tests.support.websocket_client import HANG

#: Seconds: more than hypercorn keeps a connection by its settings here.
PATIENCE = 3.0


@contextlib.contextmanager
def native(row: SoakServer, directory: Path, *, keeps_open: bool = False) -> Iterator[Target]:
    """The server, with the soak's app of its own kind. ``keeps_open``: it leaves a connection open, by its fault."""
    server = start(row, "native", directory)
    try:
        yield Target(server, PATIENCE)
    finally:
        if keeps_open and known("shutdown beside an open connection", row.kind):
            server.ends_by_itself(2.0)
        else:
            server.stop()


def scenario(app: App, client: Client, *, up: int = 0) -> Scenario:
    return Scenario(Work(app, 1, up, 100, 10), client, chunked=up > 0, at=0.5)


def test_an_app_that_ends_before_it_has_read_its_body(tmp_path: Path) -> None:
    with native(SERVERS["hypercorn"], tmp_path, keeps_open=True) as target:
        target.patience = patience("app that ends before it has read its body", "hypercorn")
        client = Http1(target)
        (seen,) = client.play(scenario(App.FAIL_MIDDLE, Client.KEEP, up=300_000))
        client.close()
    hold("app that ends before it has read its body", "hypercorn", _end(seen), right="cut")


def _end(seen: Seen) -> str:
    assert not seen.complete, seen
    return "hangs" if seen.timed_out else "cut"


def test_requests_behind_one_that_fails(tmp_path: Path) -> None:
    with native(SERVERS["hypercorn"], tmp_path) as target:
        # Twice: what the start of the server has left for a moment is gone by the first.
        first, second = (_tasks_after(target, scenario(App.FAIL_STARTED, Client.PIPELINE)) for _ in range(2))
    left = "its task is left" if second > first else "ended"
    hold("requests behind one that fails", "hypercorn", left, right="ended")


def _tasks_after(target: Target, what: Scenario) -> int:
    """The fewest tasks that the server has after it, while patience lasts."""
    Http1(target).play(what)
    seen: list[int] = []

    def never() -> bool:
        seen.append(take_sample(target).process["tasks"])
        return False

    with contextlib.suppress(AssertionError):
        poll(never, PATIENCE, lambda: "")
    return min(seen)


def test_a_connection_that_its_client_has_ended(tmp_path: Path) -> None:
    """The server's own end of it is what tells: it has none while the client's half is closed and its own is not."""
    patient = replace(SERVERS["hypercorn"], arguments=("--keep-alive", "60"))
    with native(patient, tmp_path, keeps_open=True) as target, RawConnection(target.connect()) as connection:
        connection.send(b"".join(request_bytes(scenario(App.PLAIN, Client.KEEP), close=False)))
        assert connection.read_response().complete
        connection.finish_sending()
        connection.socket.settimeout(patience("connection that its client has ended", "hypercorn"))
        try:
            ended = "closed" if connection.socket.recv(1) == b"" else "answered"
        except TimeoutError:
            ended = "kept"
    hold("connection that its client has ended", "hypercorn", ended, right="closed")


@pytest.mark.parametrize("name", ["hypercorn", "hypercorn-h2"])
def test_a_client_that_its_machine_does_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fault: it begins when the server has ended its connection, which had nothing under way for so long."""
    row = SERVERS[name]
    with native(row, tmp_path) as target:
        connect = target.connect

        def rested() -> socket.socket:
            connection = connect()
            assert select.select([connection], [], [], HANG)[0]
            return connection

        monkeypatch.setattr(target, "connect", rested)
        for idle, lost in ((row.idle, []), (math.inf, [Loss.NO_ANSWER])):
            target.idle = idle
            playing = Playing(target, row.place, [scenario(App.PLAIN, Client.CLOSE)], clients=1)
            playing.join()
            assert [complaint.loss for complaint in playing.complaints] == lost


def test_what_no_test_can_show_is_asked_for_by_the_names_of_the_table() -> None:
    assert known("beginning of a response that fails", "granian-ws")
    assert known("end of a worker", "granian-ws")
    assert known("answer before the body is read", "uvicorn-h11")
    assert known("log of garbage whose client has left", "waitress")
    assert {HEAD, UNREAD, WORKER, STUCK, BEHIND} == {
        "beginning of a response that fails",
        "answer before the body is read",
        "end of a worker beside an error of a connection",
        "app that ends before it has read its body",
        "requests behind one that fails",
    }
