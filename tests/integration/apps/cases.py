"""A WSGI app whose behaviour tests steer, behind bridge (``app``), with ``wsgiref.validate`` in between.

Nothing here sleeps. What has to happen in an order waits for a signal: a test sends ``/signal/TOKEN`` where
the app waits on TOKEN, and ``/report/TOKEN`` answers when the response of that token has been closed, with
what came of it.

``BRIDGE_OPTIONS`` in the environment: the keyword arguments of ``WsgiToAsgi``, as JSON.
"""

import hashlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.gate import pass_gate
from tests.support.validation import validated

__all__ = ["app"]

WAIT = 20.0  # seconds, against hanging only
CHUNK = 16_384
TEXT = [("Content-Type", "text/plain")]

# Keyed by token. With setdefault(), which is atomic: two threads that come first have one event, and not two.
signals: dict[str, threading.Event] = {}


class Report:
    """What came of one response; ``done`` is set by its ``close()``."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.facts: dict[str, Any] = {"closes": 0, "chunks": 0, "started": 0}


reports: dict[str, Report] = {}


class Body:
    """A response body that counts its chunks and closes, and knows its thread."""

    def __init__(self, token: str, chunks: Iterable[bytes]) -> None:
        self.report = report_of(token)
        self.chunks = iter(chunks)
        self.thread = threading.get_ident()

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        chunk = next(self.chunks)
        self.report.facts["chunks"] += 1
        return chunk

    def close(self) -> None:
        facts = self.report.facts
        facts["closes"] += 1
        facts["same_thread"] = threading.get_ident() == self.thread
        self.report.done.set()


def signal_of(token: str) -> threading.Event:
    return signals.setdefault(token, threading.Event())


def report_of(token: str) -> Report:
    return reports.setdefault(token, Report())


def wait(token: str) -> None:
    """Wait for ``/signal/TOKEN``."""
    if not signal_of(token).wait(WAIT):
        raise TimeoutError(f"no signal {token!r}")


def signal(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    signal_of(token).set()
    return text(start_response, "signalled")


def report(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    if not report_of(token).done.wait(WAIT):
        raise TimeoutError(f"{token!r} was not closed: {report_of(token).facts}")
    return text(start_response, json.dumps(report_of(token).facts))


def facts(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """As ``report``, without waiting."""
    return text(start_response, json.dumps(report_of(token).facts))


def threads(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("bridge")]
    return text(start_response, json.dumps(names))


def two(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """A first chunk, and a second one after the signal."""

    def chunks() -> Iterator[bytes]:
        yield b"first"
        wait(token)
        yield b"second"

    start_response("200 OK", TEXT)
    return Body(token, chunks())


def endless(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Chunks without an end, each after a signal of its own where the query says "paced"."""

    def chunks() -> Iterator[bytes]:
        for number in range(200_000):
            if number and environ["QUERY_STRING"] == "paced":
                wait(f"{token}-{number}")
            yield b"e" * CHUNK

    start_response("200 OK", TEXT)
    return Body(token, chunks())


def gate(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Take a thread until the test opens the gate at the port that the token names."""
    pass_gate(int(token))
    return text(start_response, "passed")


def half(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Send a chunk, wait at the gate, send another."""

    def chunks() -> Iterator[bytes]:
        yield b"first"
        pass_gate(int(token))
        yield b"second"

    start_response("200 OK", TEXT)
    return chunks()


def started(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Answer when the upload of that token has a thread."""
    wait(f"{token}-started")
    return text(start_response, "started")


def upload(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Read the body in blocks, report its end or its error, answer with its digest."""
    outcome = report_of(token)
    outcome.facts["started"] += 1
    signal_of(f"{token}-started").set()
    digest, size = hashlib.sha256(), 0
    try:
        while block := environ["wsgi.input"].read(CHUNK):
            digest.update(block)
            size += len(block)
    except OSError as error:
        outcome.facts |= {"error": [kind.__name__ for kind in type(error).__mro__]}
        raise
    else:
        outcome.facts["whole"] = True
    finally:
        outcome.facts["size"] = size
        outcome.done.set()
    return text(start_response, json.dumps({"size": size, "sha256": digest.hexdigest()}))


def ignore(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Answer without a look at the body."""
    return text(start_response, "ignored")


def slow_upload(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Read one block for each signal ``TOKEN-N``, then the rest without waiting."""
    size = 0
    for number in range(3):
        size += len(environ["wsgi.input"].read(CHUNK))
        signal_of(f"{token}-read-{number}").set()
        wait(f"{token}-{number}")
    while block := environ["wsgi.input"].read(CHUNK):
        size += len(block)
    return text(start_response, str(size))


def reached(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Answer when someone has set the signal of that token."""
    wait(token)
    return text(start_response, "reached")


def fail(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Fail in the way and at the point that the token names."""
    return FAILURES[token](start_response)


def text(start_response: StartResponse, content: str, status: str = "200 OK") -> Iterable[bytes]:
    data = content.encode()
    start_response(status, [*TEXT, ("Content-Length", str(len(data)))])
    return [data]


def _before(start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("failed before the start")


def _before_with_exit(start_response: StartResponse) -> Iterable[bytes]:
    raise SystemExit(3)


def _before_with_stop_iteration(start_response: StartResponse) -> Iterable[bytes]:
    raise StopIteration


def _after_start(start_response: StartResponse) -> Iterable[bytes]:
    """After start_response, before any chunk: PEP 3333 has the headers still unsent."""
    start_response("200 OK", TEXT)
    raise RuntimeError("failed after start_response")


def _in_first_chunk(start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return _chunks(0, RuntimeError("failed in the first chunk"))


def _in_body(start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return _chunks(3, RuntimeError("failed in the body"))


def _in_body_with_length(start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "1000000")])
    return _chunks(3, RuntimeError("failed in the body with a length"))


def _in_body_with_exit(start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return _chunks(3, SystemExit(3))


def _short_body(start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "1000000")])
    return [b"short"]


def _chunks(count: int, error: BaseException) -> Iterator[bytes]:
    for _ in range(count):
        yield b"f" * CHUNK
    raise error


# What fails before anything is on the wire, so that the client gets a whole 500; and what fails after.
FAILURES: dict[str, Callable[[StartResponse], Iterable[bytes]]] = {
    "before": _before,
    "before-with-exit": _before_with_exit,
    "before-with-stop-iteration": _before_with_stop_iteration,
    "after-start": _after_start,
    "in-first-chunk": _in_first_chunk,
    "in-body": _in_body,
    "in-body-with-length": _in_body_with_length,
    "in-body-with-exit": _in_body_with_exit,
    "short-body": _short_body,
}


def early_hints(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Send early hints where the environ offers them, and say if it did."""
    hints = environ.get("wsgi.early_hints")
    if hints is not None:
        hints([("Link", "</style.css>; rel=preload; as=style")])
    return text(start_response, f"hints: {hints is not None}")


def file(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Send a real file through ``wsgi.file_wrapper``; it is deleted when the server closes it.

    The token: its size, and optionally "-OFFSET" from which on it is sent.
    """
    size, _, offset = token.partition("-")
    stream = tempfile.NamedTemporaryFile()  # noqa: SIM115 -- the server closes it
    stream.write(b"".join(b"%015d\n" % number for number in range(int(size) // 16)))
    stream.flush()
    stream.seek(int(offset or 0))
    wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
    headers = [*TEXT, ("X-Wrapper", "offered" if "wsgi.file_wrapper" in environ else "none")]
    if environ["QUERY_STRING"] != "no-length":
        headers.append(("Content-Length", str(int(size) - int(offset or 0))))
    start_response("200 OK", headers)
    wrapped: Iterable[bytes] = wrapper(stream, 65_536)
    return wrapped


def address(environ: Environ, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Who serves whom, as the environ tells it."""
    keys = ("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "SCRIPT_NAME")
    return text(start_response, json.dumps({key: environ.get(key) for key in keys}))


HANDLERS: dict[str, Callable[[Environ, StartResponse, str], Iterable[bytes]]] = {
    handler.__name__: handler
    for handler in (
        *(signal, report, facts, threads, two, endless, started, upload, ignore, slow_upload, reached),
        *(fail, early_hints, address, gate, half),
    )
}


def checked(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _, kind, token = environ["PATH_INFO"].split("/", 2)
    return HANDLERS[kind](environ, start_response, token)


validated_app = validated(checked)


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Call the validated app; the file handler without the validator, which would hide the file."""
    if environ["PATH_INFO"].startswith("/file/"):
        return file(environ, start_response, environ["PATH_INFO"].removeprefix("/file/"))
    return validated_app(environ, start_response)


app = WsgiToAsgi(wsgi_app, **json.loads(os.environ.get("BRIDGE_OPTIONS", "{}")))
print("options:", os.environ.get("BRIDGE_OPTIONS"), file=sys.stderr)
