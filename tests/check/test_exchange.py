"""The client: what it sends, byte by byte, and how it takes what comes back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bridge.check import exchange
from bridge.check.exchange import Cookies, ask
from bridge.check.model import Answer, Request


class Server:
    """Takes one connection, gives the answer, and waits until its client leaves, or leaves itself."""

    def __init__(self, answer: bytes, *, stays: bool) -> None:
        self._answer = answer
        self._stays = stays
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.received = b""
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with self._listener, connection:
            connection.settimeout(30)
            while not self._is_whole():
                data = connection.recv(65536)
                if not data:
                    return
                self.received += data
            connection.sendall(self._answer)
            if self._stays:
                while connection.recv(65536):
                    pass

    def _is_whole(self) -> bool:
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return False
        if b"chunked" in head:
            return body.endswith(b"0\r\n\r\n")
        length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
        return len(body) >= int(length or b"0")


@contextmanager
def server(answer: bytes, *, stays: bool = True) -> Iterator[Server]:
    running = Server(answer, stays=stays)
    running.thread.start()
    try:
        yield running
    finally:
        running.thread.join(30)
        assert not running.thread.is_alive()


def asked(
    request: Request, answer: bytes, *, stays: bool = True, cookies: Cookies | None = None
) -> tuple[bytes, Answer]:
    with server(answer, stays=stays) as running:
        found = ask(
            ("127.0.0.1", running.port),
            request,
            host="shop.example",
            mark="x:1",
            cookies=cookies or Cookies(),
        )
    return running.received, found


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_what_is_sent() -> None:
    sent, answer = asked(Request(target="/caf%C3%A9?a", headers=(("X-A", "1"),)), OK)
    assert sent == b"GET /caf%C3%A9?a HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\nX-Bridge-Check: x:1\r\n\r\n"
    assert (answer.status, answer.body, answer.complete, answer.error) == (200, b"ok", True, "")


def test_bodies() -> None:
    sent, _ = asked(Request(method="POST", body=b"abc"), OK)
    assert b"\r\nContent-Length: 3\r\n" in sent
    assert sent.endswith(b"\r\n\r\nabc")
    sent, _ = asked(Request(method="PUT"), OK)
    assert b"\r\nContent-Length: 0\r\n" in sent
    sent, _ = asked(Request(method="POST", body=b"abcde", chunks=2), OK)
    assert b"\r\nTransfer-Encoding: chunked\r\n" in sent
    assert sent.endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")


def test_an_upload_that_breaks_off() -> None:
    sent, answer = asked(Request(method="POST", body=b"abcdef", break_off=True), OK)
    assert sent.endswith(b"\r\nContent-Length: 6\r\nX-Bridge-Check: x:1\r\n\r\nabc")
    assert answer.status == 0


def test_cookies_are_kept_and_dropped() -> None:
    cookies = Cookies({"old": "1", "other": "2"})
    head = b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: old=; Max-Age=0\r\n\r\n"
    sent, _ = asked(Request(), head, cookies=cookies)
    assert b"\r\nCookie: old=1; other=2\r\n" in sent
    sent, _ = asked(Request(), OK, cookies=cookies)
    assert b"\r\nCookie: other=2; a=b\r\n" in sent
    sent, _ = asked(Request(headers=(("Cookie", "own=1"),)), OK, cookies=cookies)
    assert b"\r\nCookie: own=1\r\n" in sent
    assert sent.count(b"Cookie") == 1


@pytest.mark.parametrize(
    ("answer", "status", "body", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 200, b"half", "it breaks off"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            200,
            b"half",
            "it breaks off",
        ),
        (b"", 0, b"", "no answer: "),
        (b"what?\r\n\r\n", 0, b"", "no answer: "),
    ],
)
def test_what_breaks_off(answer: bytes, status: int, body: bytes, error: str) -> None:
    _, found = asked(Request(), answer, stays=False)
    assert (found.status, found.body, found.complete) == (status, body, False)
    assert found.error.startswith(error)


def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    _, answer = asked(Request(), b"HTTP/1.0 200 OK\r\n\r\nall of it", stays=False)
    assert (answer.body, answer.complete) == (b"all of it", True)


def test_interim_responses_and_head() -> None:
    _, answer = asked(Request(), b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert answer.status == 200
    _, answer = asked(Request(method="HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    assert (answer.body, answer.complete) == (b"", True)


def test_the_client_leaves_an_endless_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "STREAM", 0.2)
    _, answer = asked(Request(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntick\r\n")
    assert (answer.body, answer.left, answer.complete) == (b"tick", "time", False)
    assert answer.first_at is not None


def test_the_client_leaves_a_very_large_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST", 10)
    _, answer = asked(Request(), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50)
    assert (answer.body, answer.left) == (b"x" * 10, "size")


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ANSWER", 0.2)
    _, answer = asked(Request(), b"")
    assert (answer.status, answer.error) == (0, "no answer in time")


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    answer = ask(("127.0.0.1", port), Request(), host="a", mark="", cookies=Cookies())
    assert answer.error.startswith("no answer: ")
