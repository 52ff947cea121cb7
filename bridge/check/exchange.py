"""The client: one request over a socket, by bytes of its own, and the answer as h11 reads it.

Each request has a connection of its own. A server that sends nothing is waited for ``ANSWER`` seconds; a response that
goes on is read for ``STREAM`` seconds or ``MOST`` bytes, and then the client leaves, as one does with an event stream.
"""

import contextlib
import socket
import time
from collections.abc import Iterable, Mapping

from .model import Answer, Request

__all__ = ["HEADER", "Cookies", "ask"]

#: The header that tells the probe which request this is; the app doesn't see it.
HEADER = "X-Bridge-Check"

ANSWER = 15.0
STREAM = 1.0
MOST = 4 * 2**20
_BLOCK = 65536


class Cookies:
    """A client's cookies, by name: of one site, whose paths and times don't matter here."""

    def __init__(self, kept: Mapping[str, str] | None = None) -> None:
        self._kept = dict(kept or {})

    def take(self, headers: Iterable[tuple[str, str]]) -> None:
        """Keep what a response sets, and drop what it deletes (``Max-Age=0``, or the year 1970)."""
        for name, value in headers:
            if name != "set-cookie":
                continue
            pair, _, attributes = value.partition(";")
            key, _, content = pair.partition("=")
            if "max-age=0" in attributes.lower() or "1970" in attributes:
                self._kept.pop(key.strip(), None)
            else:
                self._kept[key.strip()] = content.strip()

    def header(self) -> str:
        """The value of ``Cookie``; empty without one."""
        return "; ".join(f"{name}={value}" for name, value in self._kept.items())


def ask(address: tuple[str, int], request: Request, *, host: str, mark: str, cookies: Cookies) -> Answer:
    """Send the request, and return what came back. Never raises for what the server does."""
    import h11  # of the extra: without it the command says so

    answer = Answer(sent_at=time.monotonic())
    try:
        with socket.create_connection(address, timeout=ANSWER) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer tells
                for piece in _wire(request, host, mark, cookies):
                    connection.sendall(piece)
            if not request.break_off:
                _read(connection, request, answer)
    except (OSError, h11.RemoteProtocolError) as exc:
        answer.error = _error(answer, exc)
    answer.ended_at = time.monotonic()
    cookies.take(answer.headers)
    return answer


def _error(answer: Answer, exc: Exception) -> str:
    if answer.status:
        return "it breaks off"
    return "no answer in time" if isinstance(exc, TimeoutError) else f"no answer: {exc}"


def _wire(request: Request, host: str, mark: str, cookies: Cookies) -> Iterable[bytes]:
    given = {name.lower() for name, _ in request.headers}
    lines = [f"{request.method} {request.target} {request.version}"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in request.headers]
    if "cookie" not in given and (kept := cookies.header()):
        lines.append(f"Cookie: {kept}")
    if request.chunks:
        lines.append("Transfer-Encoding: chunked")
    elif request.body or request.method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(request.body)}")
    lines += [f"{HEADER}: {mark}", "", ""]
    yield "\r\n".join(lines).encode("latin-1")
    if request.break_off:
        yield request.body[: len(request.body) // 2]
    elif request.chunks:
        size = -(-len(request.body) // request.chunks)
        for start in range(0, len(request.body), size):
            piece = request.body[start : start + size]
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"
    else:
        yield request.body


def _read(connection: socket.socket, request: Request, answer: Answer) -> None:
    import h11

    parser = h11.Connection(h11.CLIENT)
    # h11 reads a response to a request that it knows of; these bytes of it go nowhere.
    parser.send(h11.Request(method=request.method, target="/", headers=[("Host", "ignored")]))
    parser.send(h11.EndOfMessage())
    until = time.monotonic() + ANSWER
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            left = until - time.monotonic()
            if left <= 0:
                if answer.status:
                    answer.left = "time"
                    return
                raise TimeoutError
            connection.settimeout(left)
            try:
                parser.receive_data(connection.recv(_BLOCK))
            except TimeoutError:
                continue
        elif isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers]
            until = min(until, time.monotonic() + STREAM)
        elif isinstance(event, h11.Data):
            if answer.first_at is None:
                answer.first_at = time.monotonic()
            answer.body += event.data
            if len(answer.body) >= MOST:
                answer.body = answer.body[:MOST]
                answer.left = "size"
                return
        elif isinstance(event, h11.EndOfMessage):
            answer.complete = True
            return
        elif not isinstance(event, h11.InformationalResponse):  # the end of the connection
            answer.error = "it breaks off" if answer.status else "no answer: the connection ended"
            return
