"""Threads that an app holds, on a real server: what it keeps for each, and the log when none is left."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.support.gate import Gate
from tests.support.servers import poll

APPS = "tests.integration.apps.held_threads"


@pytest.mark.skipif(sys.platform != "linux", reason="the open files of a process are read from /proc")
def test_a_connection_to_the_database_for_each_thread_and_no_more(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Django's connections are in circles of references: one that its thread has left stays open."""
    path = tmp_path.resolve() / "database.sqlite"
    server = start_server("uvicorn-h11", f"{APPS}:database", environ={"DATABASE": str(path)})
    with Gate() as gate, ThreadPoolExecutor(20) as users, server.client() as client:

        def burst(count: int) -> None:
            answers = [users.submit(client.get, f"/query?gate={gate.port}") for _ in range(count)]
            for _ in range(count):
                gate.wait_for_arrival()
            for _ in range(count):
                gate.let_through()
            assert [answer.result().text for answer in answers] == ["2"] * count

        def hold_connections(at_least: int) -> None:
            seen: list[dict[str, int]] = []

            def no_more_than_threads() -> bool:
                seen.append(client.get("/connections").json())
                return at_least <= seen[-1]["open"] <= seen[-1]["threads"]

            poll(no_more_than_threads, 15.0, lambda: f"{seen[-1]}, and at least {at_least} were used")

        for _ in range(10):
            assert client.get("/query").text == "2"
        hold_connections(1)
        for _ in range(4):
            burst(20)
            for _ in range(10):
                assert client.get("/query").text == "2"
            hold_connections(20)


def test_long_polls_that_hold_all_threads_are_told_of(start_server: StartServer) -> None:
    server = start_server("uvicorn-h11", f"{APPS}:polls", environ={"PATIENCE": "0.2"})
    with Gate() as gate, ThreadPoolExecutor(4) as users, server.client() as client:
        polls = [users.submit(client.get, f"/poll?gate={gate.port}") for _ in range(3)]
        for _ in polls:
            gate.wait_for_arrival()
        page = users.submit(client.get, "/")
        log = server.wait_for_log("no thread is free")
        assert "3 requests run and no thread is free: 1 wait for one" in log
        assert "raise threads= (now 3; bridge serve: --threads)" in log
        for _ in polls:
            gate.let_through()
        assert [poll.result().text for poll in polls] == ["news"] * 3
        assert page.result().text == "hello"
