"""The head of a response whose app waits between its start and its body."""

import asyncio
import threading
from typing import Any

import pytest
import uvloop

from bridge.to_wsgi.adapter import AsgiToWsgi
from bridge.to_wsgi.heads import send_head, sends_head
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import Environ, ExcInfo, Headers, Receive, Scope, Send, Write
from tests.support.wsgi import Answer, environ_for
from tests.to_wsgi.apps import START, last, part, until

GUNICORN = {"SERVER_SOFTWARE": "gunicorn/27.0.1"}
GRANIAN = {"SERVER_SOFTWARE": "Granian"}


class Server:
    """Its ``start_response()`` notes what is written."""

    def __init__(self, *, writes: bool = True) -> None:
        self.status = ""
        self.written: list[bytes] = []
        self._writes = writes

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
        self.status = status
        nothing: Any = None
        return self.written.append if self._writes else nothing


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def factory(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that never waits may take its time all the same: longer than the head waits, on a slow machine."""
    for module in ("loop_run", "shared_loop"):
        monkeypatch.setattr(f"bridge.to_wsgi.{module}.HEAD_WAIT", 60.0)


@pytest.mark.parametrize("before", [0, 0.001], ids=["at once", "after a wait"])
@pytest.mark.parametrize(
    ("software", "written"), [(GUNICORN, [b""]), ({"uwsgi.version": b"2"}, [b""]), (GRANIAN, [])]
)
def test_it_goes_out_while_the_app_waits(
    adapt: Any, factory: Any, before: float, software: dict[str, Any], written: list[bytes]
) -> None:
    goes_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(before)
        await send(START)
        await until(goes_on.is_set)
        await send(part(b"a"))
        await asyncio.sleep(0)
        await send(last(b"b"))

    server = Server()
    # That it returns is the proof: the app goes on only then.
    body = adapt(app, loop_factory=factory)(environ_for() | software, server.start_response)
    assert (server.status, server.written) == ("200 OK", written)
    goes_on.set()
    assert b"".join(body) == b"ab"
    body.close()
    assert server.written == written


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_goes_out_with_a_part_of_the_body_that_is_empty(adapt: Any, factory: Any, method: str) -> None:
    """On ASGI servers that is a way to have the head sent."""
    goes_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(part(b""))
        await until(goes_on.is_set)
        await send(last(b"b"))

    server = Server()
    body = adapt(app, loop_factory=factory)(environ_for(method=method) | GUNICORN, server.start_response)
    assert (server.status, server.written) == ("200 OK", [b""])
    goes_on.set()
    assert b"".join(body) == (b"b" if method == "GET" else b"")
    body.close()


@pytest.mark.usefixtures("long_wait")
@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_an_app_that_does_not_wait_has_its_head_with_its_body(adapt: Any, factory: Any, rounds: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(rounds):
            await asyncio.sleep(0)
        await send(last(b"body"))

    server = Server()
    body: Any = adapt(app, loop_factory=factory)(environ_for() | GUNICORN, server.start_response)
    assert (server.written, b"".join(body)) == ([], b"body")
    getattr(body, "close", int)()


@pytest.mark.usefixtures("long_wait")
def test_an_error_before_a_wait_is_still_the_servers(adapt: Any, factory: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await asyncio.sleep(0)
        raise KeyError("mine")

    server = Server()
    with pytest.raises(KeyError):
        adapt(app, loop_factory=factory)(environ_for() | GUNICORN, server.start_response)
    assert (server.status, server.written) == ("", [])


def test_an_error_after_it_has_gone_is_raised(adapt: Any) -> None:
    goes_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await until(goes_on.is_set)
        raise KeyError("mine")

    body = adapt(app)(environ_for() | GUNICORN, Server().start_response)
    goes_on.set()
    with pytest.raises(KeyError):
        next(iter(body))
    body.close()


def test_a_read_of_the_body_is_a_wait(adapt: Any) -> None:
    """It blocks, for as long as the client likes, who may wait for the head."""
    server = Server()
    states: list[list[bytes]] = []

    class Input:
        def read(self, size: int) -> bytes:
            states.append(list(server.written))
            return b"x" * size

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(last((await receive())["body"]))

    environ: Environ = environ_for(method="POST", body=b"body") | GUNICORN | {"wsgi.input": Input()}
    body = adapt(app)(environ, server.start_response)
    assert (b"".join(body), states) == (b"xxxx", [[b""]])
    body.close()


def test_a_middleware_without_write(adapt: Any) -> None:
    goes_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await until(goes_on.is_set)
        await send(last(b"x"))

    body = adapt(app)(environ_for() | GUNICORN, Server(writes=False).start_response)
    goes_on.set()
    assert b"".join(body) == b"x"
    body.close()


def test_a_loop_on_which_the_head_was_waited_for_is_kept(adapt: Any, mode: LoopMode) -> None:
    """No timer is left on it."""
    loops: set[asyncio.AbstractEventLoop] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        loops.add(asyncio.get_running_loop())
        await send(START)
        await asyncio.sleep(0.001)
        await send(last(b"x"))

    adapter: AsgiToWsgi = adapt(app)
    for _ in range(3):
        body: Any = adapter(environ_for() | GUNICORN, Server().start_response)
        assert b"".join(body) == b"x"
        getattr(body, "close", int)()
    assert len(loops) == 1


@pytest.mark.parametrize(
    ("keys", "sends"),
    [
        (GUNICORN, True),
        ({"SERVER_SOFTWARE": "WSGIServer/0.2 CPython/3.13"}, True),
        ({"SERVER_SOFTWARE": "Werkzeug/3.1.9"}, True),
        ({"SERVER_SOFTWARE": "waitress"}, True),
        (GRANIAN, True),
        ({"ACTUAL_SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "CherryPy/18"}, True),
        ({"uwsgi.version": b"2.0.31"}, True),
        ({"mod_wsgi.version": (5, 0), "SERVER_SOFTWARE": "Apache/2.4"}, False),
        ({"SERVER_SOFTWARE": "other/1.0"}, False),
        ({}, False),
    ],
)
def test_which_servers_send_it(keys: dict[str, Any], sends: bool) -> None:
    assert sends_head(environ_for() | keys) is sends
    if not sends:
        answer = Answer()
        send_head(environ_for() | keys, answer.chunks.append)
        assert answer.chunks == []
