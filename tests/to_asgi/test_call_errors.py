"""``WsgiToAsgi`` and errors of the app: what ends more than a request elsewhere, and ``close()`` after all of them."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from bridge import ApplicationError, ApplicationExit
from bridge.to_asgi.sending import ResponseCut
from bridge.types import Environ, StartResponse
from tests.support.asgi import Exchange, http_scope, request
from tests.support.served import Served, call, fail
from tests.support.validation import validated
from tests.support.wsgi_apps import Body, kinds, respond

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


# What ends a task, a thread or a server if it is let through.
EXITS = (
    StopIteration("stop"),
    StopAsyncIteration("stop"),
    SystemExit(3),
    KeyboardInterrupt("key"),
    asyncio.CancelledError("cancelled"),
    GeneratorExit("exit"),
)
exits = pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)


# What ends more than the request.


@pytest.mark.parametrize("chunks", [[], [b"x"]], ids=["before-the-start", "after-it"])
def test_an_exit_that_can_t_say_what_it_is_ends_the_call_too(chunks: list[bytes]) -> None:
    class MuteError(SystemExit):
        def __str__(self) -> str:
            raise LookupError("mute")

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from chunks
        raise MuteError

    _, raised = fail(app, LookupError)
    assert isinstance(raised.__context__, MuteError)


def test_a_log_that_fails_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise LookupError("the app's filter")

    class Unclosable(list[bytes]):
        def close(self) -> None:
            raise OSError("mine")

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return Unclosable([b"x"])

    monkeypatch.setattr(logging.getLogger("bridge"), "filters", [refuse])
    assert call(app).complete


@exits
def test_an_exit_in_the_call_is_an_error_of_the_request(error: BaseException) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise error

    exchange, raised = fail(app, ApplicationExit)
    assert raised.__cause__ is error
    assert type(error).__name__ in str(raised)
    assert exchange.messages == []


@exits
def test_an_exit_after_start_response_sends_nothing(error: BaseException) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        raise error

    exchange, raised = fail(app, ApplicationExit)
    assert raised.__cause__ is error
    assert exchange.messages == []


@exits
def test_an_exit_after_the_start_breaks_the_response_off(error: BaseException) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])(b"half")
        raise error

    exchange, raised = fail(app, ApplicationExit)
    assert raised.__cause__ is error
    assert exchange.body == b"half"
    assert not exchange.complete


@pytest.mark.parametrize("error", EXITS[1:], ids=lambda error: type(error).__name__)
def test_an_exit_in_the_iteration_closes_the_body(error: BaseException) -> None:
    body = Body([b"half", error])
    exchange, raised = fail(respond(body), ApplicationExit)
    assert raised.__cause__ is error
    assert exchange.body == b"half"
    assert not exchange.complete
    assert body.closed == 1


def test_stop_iteration_in_a_generator_is_an_error() -> None:
    """PEP 479 makes it a RuntimeError, so that the body is not taken for complete."""

    def body() -> Iterator[bytes]:
        yield b"half"
        raise StopIteration

    exchange, _ = fail(respond(body()), RuntimeError)
    assert not exchange.complete


@exits
def test_an_exit_in_close_is_logged(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    class Closing(Body):
        def close(self) -> None:
            super().close()
            raise error

    body = Closing([b"whole"])
    exchange = call(respond(body), path="/there")
    assert exchange.body == b"whole"
    assert exchange.complete
    assert body.closed == 1
    (record,) = caplog.records
    assert "close()" in record.getMessage()
    assert "GET '/there'" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@exits
def test_the_thread_and_the_adapter_go_on_after_an_exit(error: BaseException) -> None:
    threads: list[int] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        threads.append(threading.get_ident())
        if environ["PATH_INFO"] == "/exit":
            raise error
        start_response("200 OK", [])
        return [b"well"]

    async def main() -> None:
        async with Served(app, threads=1) as adapter:
            with pytest.raises(ApplicationExit):
                await Exchange(adapter, http_scope(path="/exit"), [request()]).run()
            exchange = await Exchange(adapter, http_scope(), [request()]).run()
            assert exchange.body == b"well"

    asyncio.run(main())
    assert len(threads) == 2
    assert len(set(threads)) == 1


# Errors.


class AppError(Exception):
    pass


@pytest.mark.parametrize("where", ["call", "after start_response", "first chunk", "after an empty chunk"])
def test_an_error_before_the_start_is_raised_as_it_is(where: str) -> None:
    error = AppError("mine")
    steps: list[bytes | BaseException] = [b"", error] if where == "after an empty chunk" else [error]
    body = Body(steps)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if where == "call":
            raise error
        start_response("200 OK", [("Content-Type", "text/plain")])
        if where == "after start_response":
            raise error
        return body

    exchange, raised = fail(app, AppError)
    assert raised is error
    assert exchange.messages == []
    assert body.closed == (where in {"first chunk", "after an empty chunk"})


# In HTTP/3 what is no Exception would end hypercorn's server: tests/integration/test_http3.py.
@pytest.mark.parametrize("version", ["1.1", "3"])
def test_an_error_after_the_start_is_raised_and_nothing_ends_the_body(version: str) -> None:
    error = AppError("mine")
    body = Body([b"half", error])
    exchange, raised = fail(respond(body), AppError, http_version=version)
    assert raised is error
    assert kinds(exchange) == ["start", "body"]
    assert exchange.messages[-1]["more_body"] is True
    assert body.closed == 1


def test_an_error_after_the_start_ends_an_http_2_connection(caplog: pytest.LogCaptureFixture) -> None:
    error = AppError("mine")
    exchange, raised = fail(respond(Body([b"half", error])), ResponseCut, http_version="2")
    # The server logs what is raised: the error, which is in the log, is no part of it.
    assert raised.__cause__ is None
    assert raised.__context__ is None
    assert not exchange.complete
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_an_error_after_the_whole_of_content_length_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    body = Body([b"whole", AppError("mine")])
    exchange = call(respond(body, ("Content-Length", "5")))
    assert exchange.body == b"whole"
    assert exchange.complete
    assert body.closed == 1
    [record] = caplog.records
    assert "had all of the response" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], AppError)


def test_more_than_content_length_is_not_asked_for() -> None:
    """PEP 3333, "Handling the Content-Length Header"."""
    body = Body([b"whole", b"", b"more", AppError("never raised")])
    exchange = call(respond(body, ("Content-Length", "5")))
    assert exchange.body == b"whole"
    assert body.closed == 1


# close().


def test_close_runs_on_the_thread_of_the_call_and_in_its_context() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    threads: list[int] = []

    class Closing(Body):
        def close(self) -> None:
            super().close()
            seen.append(variable.get())

    body = Closing([lambda: seen.append(variable.get()), b"a", lambda: variable.set("in iteration"), b"b"])

    def app(environ: Environ, start_response: StartResponse) -> Body:
        threads.append(threading.get_ident())
        variable.set("in call")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    assert call(validated(app)).body == b"ab"
    assert seen == ["in call", "in iteration"]
    assert body.threads == set(threads)
    assert threads[0] != threading.get_ident()
    assert body.closed == 1
    assert variable.get() == "unset"


@pytest.mark.parametrize("steps", [[], [b"a"], [b"a", b"b"], [AppError()], [b"a", AppError()]], ids=repr)
def test_close_runs_once_however_the_request_ends(steps: list[Any]) -> None:
    body = Body(steps)
    if any(isinstance(step, AppError) for step in steps):
        fail(respond(body), AppError)
    else:
        assert call(respond(body)).complete
    assert body.closed == 1


def test_a_body_of_text_is_closed() -> None:
    class Text(Body):
        def __next__(self) -> Any:
            return "text"

    body = Text([])
    fail(respond(body), ApplicationError)
    assert body.closed == 1


def test_a_list_with_close_is_closed() -> None:
    class Closing(list[bytes]):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    body = Closing([b"a", b"b"])
    assert call(respond(body)).body == b"ab"
    assert body.closed == 1
