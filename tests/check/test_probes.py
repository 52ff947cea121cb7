"""The probes: they write down what an app does, and change nothing of it."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from bridge.check.probe_asgi import in_request, probe_asgi
from bridge.check.probe_wsgi import probe_wsgi
from bridge.check.recorder import Recorder
from bridge.types import ASGIApp, WSGIApp


class Written:
    """A recorder, and what it has written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.recorder = Recorder(str(path), "token")
        self.measured: list[str] = []
        self.looks = 0

    def look(self) -> None:
        self.looks += 1

    def wsgi(self, app: WSGIApp) -> WSGIApp:
        return probe_wsgi(app, self.recorder, self.measured.append, self.look)

    def asgi(self, app: ASGIApp) -> ASGIApp:
        return probe_asgi(app, self.recorder, self.measured.append, self.look, lambda state, tasks: None)

    def events(self, at: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [event for event in events if event["at"] == at]

    def end(self) -> dict[str, Any]:
        (event,) = self.events("end")
        return event


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "events")


def environ(mark: str = "token:7") -> dict[str, Any]:
    found: dict[str, Any] = {"HTTP_X_BRIDGE_CHECK": mark, "REMOTE_ADDR": "192.0.2.1"}
    setup_testing_defaults(found)
    return found


def start_response(*args: Any) -> Callable[[bytes], object]:
    return lambda data: None


Start = Callable[..., Callable[[bytes], object]]


def test_a_list_goes_on_as_it_is(written: Written) -> None:
    seen: list[dict[str, Any]] = []
    body = [b"a", b"b"]

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        seen.append(environ)
        start_response("200 OK", [("Content-Length", "2")])
        return body

    given = environ()
    assert written.wsgi(app)(given, start_response) is body
    assert seen[0] is given
    assert "HTTP_X_BRIDGE_CHECK" not in given, "the app doesn't see that it is checked"
    (begin,) = written.events("begin")
    assert (begin["number"], begin["peer"], begin["scheme"]) == (7, "192.0.2.1", "http")
    assert (written.end()["status"], written.end()["raised"], written.looks) == (200, "", 1)
    assert written.events("rule") == []


def test_a_file_goes_on_as_it_is(written: Written) -> None:
    wrapped = FileWrapper(io.BytesIO(b"file"))

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return wrapped

    given = environ() | {"wsgi.file_wrapper": FileWrapper}
    assert written.wsgi(app)(given, start_response) is wrapped
    assert written.end()["file"] is True


class Body:
    """An iterable that counts how often it is closed."""

    def __init__(self, *, fails: bool = False) -> None:
        self.closed = 0
        self.fails = fails

    def __iter__(self) -> Iterator[bytes]:
        yield b""
        yield b"one"
        if self.fails:
            raise LookupError("in the middle")
        yield b"two"

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("fails", [False, True])
def test_an_iterable_is_iterated_and_closed(fails: bool, written: Written) -> None:
    body = Body(fails=fails)

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return body

    result: Any = written.wsgi(app)(environ(), start_response)
    items = []
    try:
        items += iter(result)
    except LookupError:
        assert fails
    else:
        assert not fails
        assert items == [b"", b"one", b"two"]
        assert written.events("end") == [], "not before it is closed"
    result.close()
    assert body.closed == 1
    assert written.end()["raised"] == ("LookupError: in the middle" if fails else "")
    assert written.end()["first_made"] is not None


def test_an_app_that_raises(written: Written) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        raise LookupError("at once")

    with pytest.raises(LookupError):
        written.wsgi(app)(environ(), start_response)
    assert (written.end()["raised"], written.end()["status"]) == ("LookupError: at once", 0)


def test_write_and_exc_info_reach_the_server(written: Written) -> None:
    calls: list[Any] = []
    chunks: list[bytes] = []

    def start(*args: Any) -> Callable[[bytes], object]:
        calls.append(args)
        return chunks.append

    info = (LookupError, LookupError(), None)

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("500 Oops", [], info)(b"written")
        return []

    assert list(written.wsgi(app)(environ(), start)) == []
    assert calls == [("200 OK", []), ("500 Oops", [], info)]
    assert chunks == [b"written"]
    assert written.end()["status"] == 500


def test_a_broken_rule_is_written_once_and_nothing_is_changed(written: Written) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "5")])
        return ["text"]

    for _ in range(2):
        items: list[Any] = list(written.wsgi(app)(environ(), start_response))
        assert items == ["text"]
    rules = [event["rule"] for event in written.events("rule")]
    assert rules == ["a piece of the body is str, not bytes", "Content-Length is 5, the body has 0 bytes"]


def test_commands_and_requests_of_others(written: Written) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        return [b"the app's"]

    probed = written.wsgi(app)
    assert list(probed(environ("token:begin"), start_response)) == []
    assert written.measured == ["begin"]
    assert list(probed(environ("other:7"), start_response)) == [b"the app's"]
    assert list(probed(environ(""), start_response)) == [b"the app's"]
    assert written.events("begin") == []


def scope(mark: str = "token:7", **values: Any) -> dict[str, Any]:
    headers = [(b"host", b"a"), (b"X-Bridge-Check", mark.encode())]
    return {
        "type": "http",
        "method": "GET",
        "headers": headers,
        "client": ("192.0.2.1", 5),
        "scheme": "https",
    } | values


def call(app: ASGIApp, scope: dict[str, Any], *received: dict[str, Any]) -> list[Any]:
    """What an ASGI app sends, for what it receives."""
    sent: list[Any] = []
    messages = iter(received)

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async def called() -> None:
        await app(scope, receive, send)

    asyncio.run(called())
    return sent


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"body"}


def test_an_asgi_app(written: Written) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, in_request.get(), await receive()))
        await send(START)
        await send(BODY)

    request = {"type": "http.request", "body": b"in"}
    assert call(written.asgi(app), scope(), request) == [START, BODY]
    (of_app, inside, received) = seen[0]
    assert of_app["headers"] == [(b"host", b"a")]
    assert inside
    assert received is request
    (begin,) = written.events("begin")
    assert (begin["number"], begin["peer"], begin["scheme"]) == (7, "192.0.2.1", "https")
    assert (written.end()["status"], written.looks) == (200, 1)
    assert written.events("rule") == []


def test_an_asgi_app_that_raises_or_breaks_a_rule(written: Written) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(BODY)
        raise LookupError("late")

    with pytest.raises(LookupError):
        call(written.asgi(app), scope())
    assert written.end()["raised"] == "LookupError: late"
    assert [event["rule"] for event in written.events("rule")] == [
        "it sends http.response.body before http.response.start"
    ]


def test_an_asgi_app_whose_client_left_owes_no_end(written: Written) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    assert call(written.asgi(app), scope(), {"type": "http.disconnect"}) == []
    assert written.events("rule") == []


def test_asgi_commands_other_scopes_and_requests_of_others(written: Written) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": f"from {scope['type']}"})

    probed = written.asgi(app)
    assert [message["type"] for message in call(probed, scope("token:end"))] == [
        "http.response.start",
        "http.response.body",
    ]
    assert written.measured == ["end"]
    assert call(probed, scope("other:7")) == [{"type": "from http"}]
    assert call(probed, scope(type="websocket")) == [{"type": "from websocket"}]
    assert call(probed, {"type": "lifespan"}) == [{"type": "from lifespan"}]
    assert not in_request.get()


def test_what_the_startup_leaves(written: Written) -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["name"] = "value"
        task = asyncio.create_task(asyncio.sleep(60), name="left")
        await send({"type": "lifespan.startup.complete"})
        task.cancel()

    def started(state: Any, tasks: Any) -> None:
        found.append((dict(state), {task.get_name() for task in tasks}))

    probed = probe_asgi(app, written.recorder, written.measured.append, written.look, started)
    call(probed, {"type": "lifespan", "state": {}})
    assert found == [({"name": "value"}, {"left"})]


def test_logs_are_written_down_from_warnings_up_and_without_those_of_servers(written: Written) -> None:
    factory = logging.getLogRecordFactory()
    try:
        written.recorder.watch_logs()
        logging.getLogger("shop").info("nothing")
        logging.getLogger("shop").warning("no %s", "order")
        logging.getLogger("uvicorn.error").error("a server's")
        try:
            raise LookupError("x")
        except LookupError:
            logging.getLogger("shop").exception("failed\nin two lines")
    finally:
        logging.setLogRecordFactory(factory)
    logs = [(event["level"], event["text"], event["error"]) for event in written.events("log")]
    assert logs == [("WARNING", "no %s", ""), ("ERROR", "failed", "LookupError: x")]
