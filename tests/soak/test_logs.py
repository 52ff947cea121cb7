"""A line that nobody expects is seen, wherever it stands; those that are expected are known in each server's form."""

from dataclasses import replace

import pytest

from tests.soak.chaos import Chaos
from tests.soak.logs import OF_FAULTS, OF_STOPS, check_log
from tests.soak.model import Loss
from tests.support.faults import FAULTS, table

_PLANNED = """\
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/x.py", line 1, in y
    raise Planned("soak: in the middle")
tests.soak.app_wsgi.Planned: soak: in the middle
"""


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("uvicorn-h11", "INFO:     Started server process [7]"),
        ("uvicorn-h11", "[2026-11-28 10:00:00,000] [7] [ERROR] bridge: GET '/work': close() of the response raised"),
        ("gunicorn-sync", "[2026-11-28 10:00:00 +0000] [7] [ERROR] Error handling request GET /work?app=x"),
        ("waitress", "ERROR:waitress:Exception while serving /work"),
        ("waitress", "ERROR:bridge:POST '/work': the application raised an error; it had answered with '200 OK'"),
        (
            "hypercorn-h2c",
            "/x/hypercorn/task_group.py:68: RuntimeWarning: coroutine 'TCPServer._idle_timeout' was never awaited",
        ),
        ("granian-ws", '[INFO] ASGI transport error: "Closed(..)"'),
    ],
)  # fmt: skip
def test_expected_lines(kind: str, line: str) -> None:
    assert not check_log(f"{line}\n", kind)


def test_a_traceback_counts_by_its_error() -> None:
    assert not check_log(_PLANNED, "uvicorn-h11")
    (complaint,) = check_log(_PLANNED.replace("tests.soak.app_wsgi.Planned", "KeyError") * 3, "uvicorn-h11")
    assert complaint.loss is Loss.LOG
    assert complaint.number == 3
    assert complaint.text == """3 times 'KeyError: soak: in the middle' File "/x.py", line 1, in y"""


_GROUP = """\
Unhandled exception in client_connected_cb
transport: <_SelectorSocketTransport closed fd=13>
  + Exception Group Traceback (most recent call last):
  |   File "/x.py", line 1, in y
  |     raise me from None
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/x.py", line 2, in z
    |     self.streams[event.stream_id]
    | KeyError: 1
    +------------------------------------
"""


def test_a_group_counts_by_its_errors() -> None:
    assert not check_log(_GROUP, "hypercorn-h2c")
    (complaint,) = check_log(_GROUP.replace("KeyError: 1", "KeyError: 'name'"), "hypercorn-h2c")
    assert "KeyError: 'name'" in complaint.text


def test_a_group_in_a_group_counts_by_its_errors_too() -> None:
    outer, bar = _GROUP.split("    | Traceback", 1)
    inner = "    | Exception" + outer.partition("  + Exception")[2].replace("  |", "    |").replace(
        "  +", "    +"
    )
    assert not check_log(f"{outer}{inner}      | Traceback{bar}", "hypercorn-h2c")


def test_the_line_of_a_fault_is_expected_where_its_row_is_of_this_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "ERROR:    ASGI callable returned without completing handshake.\n"
    monkeypatch.setattr(table, "FAULTS", [replace(fault, versions="uvicorn") for fault in FAULTS])
    assert not check_log(line, "uvicorn-h11")
    assert check_log(line, "uvicorn-wsproto")
    monkeypatch.setattr(table, "FAULTS", [replace(fault, versions="uvicorn<0.1") for fault in FAULTS])
    assert check_log(line, "uvicorn-h11")


@pytest.mark.parametrize(
    ("error", "place"),
    [
        ("AssertionError", "send_eof"),
        (
            "RuntimeError: Expected ASGI message 'websocket.send' or 'websocket.close', but got 'websocket.accept'.",
            "asgi_send",
        ),
    ],
)
def test_an_error_of_the_end_of_uvicorn_is_expected_there_alone(error: str, place: str) -> None:
    log = _PLANNED.replace("in y", f"in {place}").replace(
        "tests.soak.app_wsgi.Planned: soak: in the middle", error
    )
    assert not check_log(log, "uvicorn-h11", [Chaos.TERMINATE])
    for (complaint,) in (
        check_log(log, "uvicorn-h11"),
        check_log(log, "uvicorn-h11", [Chaos.SPACE]),
        check_log(log.replace(place, "send"), "uvicorn-h11", [Chaos.TERMINATE]),
    ):
        assert error in complaint.text


def test_no_fault_has_lines_that_no_row_says() -> None:
    names = {fault.name for fault in FAULTS}
    assert OF_FAULTS.keys() | OF_STOPS.keys() <= names


@pytest.mark.parametrize(
    "line",
    ["Task was destroyed but it is pending!", "RuntimeError: cannot schedule new futures after shutdown"],
)
def test_an_unexpected_line(line: str) -> None:
    assert check_log(f"INFO:     Started server process [7]\n{line}\n", "uvicorn-h11")


def test_what_is_said_of_a_kill_is_expected_of_a_kill() -> None:
    line = "[INFO] Unexpected exit from worker-1\n"
    assert not check_log(line, "granian-ws", [Chaos.KILL])
    assert check_log(line, "granian-ws")


def test_a_socket_error_of_gunicorn_is_of_the_descriptors_that_lack() -> None:
    said = "[7] [ERROR] Socket error processing request.\nTraceback (most recent call last):\n"
    lacking = f"{said}OSError: [Errno 24] Too many open files\n"
    assert not check_log(lacking, "gunicorn-gthread", [Chaos.DESCRIPTORS])
    assert check_log(lacking, "gunicorn-gthread")
    (complaint,) = check_log(f"{said}OSError: [Errno 9] Bad", "gunicorn-gthread", [Chaos.DESCRIPTORS])
    assert "Errno 9" in complaint.text
