"""``Mount(app, fallback=True)`` on the WSGI side: who answers, and what becomes of the one that has nothing there."""

import logging
import sys
from collections.abc import Iterable, Iterator

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse
from flask import Flask
from flask import request as flask_request

from bridge import ApplicationError, Dispatcher, Mount
from bridge.types import Environ, StartResponse, WSGIApp
from tests.dispatch.wsgi import TEXT, ask, echo, late, over, replies, said
from tests.support.wsgi import Answer, call, environ_for, started

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

# Who answers.


@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed", "404 "])
def test_where_the_first_app_has_nothing_the_next_one_answers(status: str) -> None:
    answer = ask(over(replies(status)))
    assert (answer.status, answer.body) == ("200 OK", said("", "/new/x"))


@pytest.mark.parametrize(
    "status", ["200 OK", "302 Found", "400 Bad Request", "403 Forbidden", "410 Gone", "500 Error"]
)
def test_any_other_answer_stands(status: str) -> None:
    answer = ask(over(replies(status)))
    assert (answer.status, answer.body) == (status, b"first")


def test_the_last_answer_stands_whatever_it_is() -> None:
    answer = ask(over(replies("405 No"), replies("404 No", [b"second"])))
    assert (answer.status, answer.body) == ("404 No", b"second")


def test_a_chain() -> None:
    app = Dispatcher(
        {
            "/a/b/c": Mount(replies("404 No"), fallback=True),
            "/a/b": Mount(replies("405 No"), fallback=True),
            "/a": Mount(echo, fallback=True),
            "/": replies("200 OK"),
        }
    )
    environ = environ_for("/a/b/c/d", SCRIPT_NAME="/s")
    assert call(app, environ).body == said("/s/a", "/b/c/d")
    assert ask(app, "/a/b").body == said("/a", "/b")


def test_an_inner_dispatcher_that_has_nothing_there() -> None:
    app = Dispatcher({"/new": Mount(Dispatcher({"/v1": replies("200 OK")}), fallback=True), "/": echo})
    assert ask(app, "/new/v1").body == b"first"
    assert ask(app, "/new/v2").body == said("", "/new/v2")


def test_an_answer_that_stands_is_the_apps_own_object() -> None:
    """So that a server finds its file wrapper, and a length of one."""
    body = [b"first"]
    answer = Answer()
    assert over(replies("200 OK", body))(environ_for("/new"), answer.start_response) is body
    assert (
        over(replies("404 No"), replies("200 OK", body))(environ_for("/new"), answer.start_response) is body
    )


def test_one_app_sees_nothing_of_the_other() -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["first"] = True
        environ["wsgi.input"].close()
        start_response("404 Not Found", TEXT)
        return []

    def second(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert "first" not in environ
        assert environ["wsgi.input"].read(4) == b"body"
        start_response("200 OK", TEXT)
        return [b"ok"]

    environ = environ_for("/new/x", "POST", b"body")
    assert call(over(first, second), environ, validate=False).body == b"ok"


# Late beginnings: start_response() with the first chunk, write(), errors.


def test_an_app_that_begins_its_answer_with_the_first_chunk() -> None:
    assert ask(over(late("200 OK", b"a", b"b"))).chunks == [b"a", b"b"]
    assert ask(over(late("200 OK"))).chunks == []
    assert ask(over(late("404 No", b"a", b"b"))).body == said("", "/new/x")
    answer = call(over(late("200 OK", b"a", before=[b"", b""])), environ_for("/new"), validate=False)
    assert answer.body == b"a"


def test_an_app_that_begins_late_is_taken_no_further_than_its_beginning() -> None:
    taken: list[str] = []

    def first(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        taken.append("a")
        yield b"a"
        taken.append("b")
        yield b"b"

    with started(over(first), environ_for("/new")) as (answer, body):
        assert (answer.status, taken) == ("200 OK", ["a"])
        assert list(body) == [b"a", b"b"]


def test_write_is_thrown_away_with_the_answer() -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", TEXT)(b"written")
        return [b"first"]

    assert ask(over(first)).body == said("", "/new/x")


def test_an_error_that_replaces_a_404_stands() -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("404 Not Found", TEXT)
        yield b""
        try:
            raise LookupError("broken")
        except LookupError:
            start_response("500 Internal Server Error", TEXT, sys.exc_info())  # type: ignore[arg-type]
        yield b"sorry"

    answer = call(over(first), environ_for("/new"), validate=False)
    assert (answer.status, answer.body) == ("500 Internal Server Error", b"sorry")
    assert answer.exc_info is not None


def test_an_error_after_a_chunk_of_a_404_is_raised_in_the_app() -> None:
    raised: list[BaseException] = []

    def first(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("404 Not Found", TEXT)
        yield b"chunk"
        try:
            raise LookupError("broken")
        except LookupError:
            with pytest.raises(LookupError) as again:
                start_response("500 Internal Server Error", TEXT, sys.exc_info())  # type: ignore[arg-type]
            raised.append(again.value)

    assert ask(over(first)).body == said("", "/new/x")
    assert [str(error) for error in raised] == ["broken"]


def test_an_answer_that_stands_may_be_replaced_by_an_error_of_the_same_app() -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        try:
            raise LookupError("broken")
        except LookupError:
            start_response("404 Not Found", TEXT, sys.exc_info())  # type: ignore[arg-type]
        return [b"sorry"]

    answer = ask(over(first))
    assert (answer.status, answer.body) == ("404 Not Found", b"sorry")


def test_start_response_twice_is_refused() -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", TEXT)
        start_response("404 Not Found", TEXT)
        return []

    with pytest.raises(ApplicationError, match="twice without exc_info"):
        ask(over(first))


def test_an_app_without_a_response_is_the_servers_affair() -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return [b""]

    answer = call(over(first), environ_for("/new"), validate=False)
    assert (answer.status, answer.chunks) == ("", [b""])


# The app whose answer is dropped.


class Body:
    """An iterable that writes down what happens to it."""

    def __init__(self, log: list[str], *, fails: str = "") -> None:
        self._log = log
        self._fails = fails

    def __iter__(self) -> Iterator[bytes]:
        if self._fails == "at once":
            raise LookupError("as it is")
        yield b"first"
        if self._fails == "later":
            raise LookupError("as it is")
        self._log.append("end")

    def close(self) -> None:
        self._log.append("close")
        if self._fails == "close":
            raise LookupError("as it is")


def with_body(status: str, body: Body) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, TEXT)
        return body

    return app


def test_it_runs_to_its_end_and_is_closed_before_the_next_app_is_called() -> None:
    log: list[str] = []

    def second(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        log.append("second")
        return echo(environ, start_response)

    ask(over(with_body("404 No", Body(log)), second))
    assert log == ["end", "close", "second"]


def test_an_answer_that_stands_is_closed_by_the_server() -> None:
    log: list[str] = []
    for app in (with_body("200 OK", Body(log)), late_body(log)):
        log.clear()
        with started(over(app), environ_for("/new")) as (_, body):
            assert list(body) == [b"first"]
            assert log == ["end"]
        assert log == ["end", "close"]


def late_body(log: list[str]) -> WSGIApp:
    class Late(Body):
        def __init__(self, start_response: StartResponse) -> None:
            super().__init__(log)
            self._start_response = start_response

        def __iter__(self) -> Iterator[bytes]:
            self._start_response("200 OK", TEXT)
            yield from super().__iter__()

    return lambda environ, start_response: Late(start_response)


def test_what_it_raises_after_a_write_is_too_late_as_well(caplog: pytest.LogCaptureFixture) -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("404 Not Found", TEXT)
        write(written)
        raise LookupError("as it is")

    written = b"written"
    assert ask(over(first)).body == said("", "/new/x")
    assert "application at '/new' failed" in caplog.text
    assert "LookupError: as it is" in caplog.text
    written = b""  # the server would not have sent the head
    with pytest.raises(LookupError, match="as it is"):
        ask(over(first))


@pytest.mark.parametrize("fails", ["later", "close"])
def test_what_it_raises_too_late_is_logged(fails: str, caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    with caplog.at_level(logging.ERROR, "bridge"):
        assert ask(over(with_body("404 No", Body(log, fails=fails)))).body == said("", "/new/x")
    assert "close" in log
    assert "application at '/new' failed" in caplog.text
    assert "LookupError: as it is" in caplog.text


def test_what_it_raises_in_time_for_a_500_is_raised() -> None:
    log: list[str] = []
    with pytest.raises(LookupError, match="as it is"):
        ask(over(with_body("404 No", Body(log, fails="at once"))))
    assert log == ["close"]

    def raises(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", TEXT)
        raise LookupError("as it is")

    for app in (over(raises), over(replies("404 No"), raises)):
        with pytest.raises(LookupError, match="as it is"):
            ask(app)


# Frameworks.


def fastapi(log: list[str]) -> FastAPI:
    app = FastAPI()

    @app.get("/items")
    async def items() -> str:
        return "new"

    @app.get("/gone", response_class=PlainTextResponse)
    async def gone(tasks: BackgroundTasks) -> PlainTextResponse:
        tasks.add_task(log.append, "work after the response")
        return PlainTextResponse("nothing", status_code=404, background=tasks)

    return app


def flask(log: list[str]) -> Flask:
    app = Flask(__name__)

    @app.route("/new/items", methods=["GET", "POST"])
    @app.route("/new/old", methods=["POST"])
    @app.route("/new/gone")
    def items() -> str:
        log.append("old")
        return f"old {len(flask_request.get_data())}"

    return app


def test_an_asgi_app_as_the_first_and_a_wsgi_app_as_the_next() -> None:
    log: list[str] = []
    with over(fastapi(log), flask(log)) as app:
        assert ask(app, "/new/items").body == b'"new"'
        assert ask(app, "/new/items", b"x" * 1000).body == b"old 1000", "405"
        assert ask(app, "/new/old", b"x" * 1_000_000).body == b"old 1000000", "404"
        assert ask(app, "/new/old").status.startswith("405")
        assert ask(app, "/new/none").status.startswith("404")
        log.clear()
        assert ask(app, "/new/gone").body == b"old 0"
    assert log == ["work after the response", "old"]


def test_a_wsgi_app_as_the_first_and_an_asgi_app_as_the_next() -> None:
    first = Flask("first")

    @first.post("/x")
    def known() -> str:
        return f"first {len(flask_request.get_data())}"

    second = FastAPI()

    @second.post("/new/y")
    async def other(body: dict[str, int]) -> int:
        return body["a"]

    with over(first, second) as app:
        assert ask(app, "/new/x", b"x" * 300_000).body == b"first 300000"
        assert ask(app, "/new/y", b'{"a": 5}', CONTENT_TYPE="application/json").body == b"5"
        assert ask(app, "/new/z").status.startswith("404")
