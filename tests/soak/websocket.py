"""The clients of WebSockets, over HTTP/1.1 and HTTP/2: protocols without threads on a socket.

``tests.support.websocket_client`` has the one, ``tests.support.http2`` the other. ``PIPELINE`` has three of them on one
connection of HTTP/2.
"""

import contextlib
from dataclasses import replace

import h2.exceptions
from websockets.exceptions import InvalidState, InvalidStatus
from websockets.frames import Opcode

from tests.support.http2 import Http2Connection, Http2WebSocket
from tests.support.websocket_client import Framed, RawWebSocket

from .http1 import PAUSE
from .model import Complaint, Loss, Seen, messages
from .scenarios import App, Client, Scenario, Work
from .target import Target

__all__ = ["open_websockets", "play_websocket", "play_websocket_http2"]

#: RFC 6455, section 7.4.1: an error of the server's, here of its app; and a normal end.
_FAILED, _NORMAL = 1011, 1000
#: What counts as the status of one that is open, on HTTP/2 too.
_OPEN = 101


def play_websocket(target: Target, scenario: Scenario) -> list[Seen]:
    """Open one, and do what the scenario says. Raises ``OSError`` where there is no connection."""
    try:
        websocket = RawWebSocket(target.server, scenario.work.target)
    except InvalidStatus as refused:
        response = refused.response
        headers = list(response.headers.raw_items())
        return [
            Seen(
                response.status_code,
                bytes(response.body or b""),
                complete=True,
                headers=headers,
                reason=response.reason_phrase,
            )
        ]
    with websocket:
        if scenario.client not in {Client.CLOSE, Client.STALL}:
            _leave(websocket, scenario)
            return []
        return [replace(_to_the_end(websocket, scenario), headers=websocket.headers)]


def play_websocket_http2(target: Target, scenario: Scenario) -> list[Seen]:
    """The same over HTTP/2. Raises ``OSError`` where there is no connection."""
    with Http2Connection(target.connect()) as connection:
        number = 3 if scenario.client is Client.PIPELINE else 1
        try:
            websockets = [Http2WebSocket(connection, scenario.work.target) for _ in range(number)]
            if scenario.client in {Client.CLOSE, Client.STALL, Client.PIPELINE}:
                # Nothing is asked of the connection behind their end: the server may close one that is at rest.
                return [_seen_http2(websocket, scenario) for websocket in websockets]
            if websockets[0].opened:
                _leave(websockets[0], scenario)
            if scenario.client is Client.RESET_IN_ANSWER:
                connection.ping()
            return []
        except TimeoutError as error:
            return [Seen(None, timed_out=True, note=repr(error))]
        except (OSError, h2.exceptions.H2Error) as error:
            return [Seen(None, note=repr(error))]


def _seen_http2(websocket: Http2WebSocket, scenario: Scenario) -> Seen:
    stream = websocket.stream
    if websocket.opened:
        return replace(_to_the_end(websocket, scenario), headers=stream.headers)
    while not stream.ended:
        websocket.connection.receive()
    return Seen(stream.status, b"".join(stream.parts), stream.complete, headers=stream.headers)


def _to_the_end(websocket: Framed, scenario: Scenario) -> Seen:
    received: list[bytes] = []
    try:
        if scenario.work.app is App.SOCKET_FAIL:
            complete = websocket.receive_close()[0] == _FAILED
            websocket.flush()
            return Seen(_OPEN, b"", complete)
        for message in messages(scenario):
            if scenario.client is Client.STALL:
                websocket.send_slowly(message, scenario.at, PAUSE)
            else:
                websocket.send(message)
            received.append(_message(websocket))
        websocket.send_close()
        complete = websocket.receive_close()[0] in {_NORMAL, 1005}
    except TimeoutError:
        return Seen(_OPEN, b"".join(received), timed_out=True)
    except (OSError, InvalidState) as error:
        # The server has ended the connection, or has begun to close the WebSocket.
        return Seen(_OPEN, b"".join(received), note=repr(error))
    return Seen(_OPEN, b"".join(received), complete)


def open_websockets(target: Target, number: int) -> list[Complaint]:
    """Have that many open at a time, each of which echoes."""
    work = Work(App.SOCKET_ECHO, 0, up=0, down=0, piece=1)
    with contextlib.ExitStack() as stack:
        websockets = [stack.enter_context(RawWebSocket(target.server, work.target)) for _ in range(number)]
        for websocket in websockets:
            websocket.send(b"hello")
            if _message(websocket) != b"hello":
                return [Complaint(Loss.WRONG_BYTES, "a WebSocket echoes something else")]
            websocket.send_close()
            websocket.receive_close()
    return []


def _message(websocket: Framed) -> bytes:
    """The next message, of one frame or of several; raises ``ConnectionError`` where a close comes instead."""
    data = b""
    while True:
        frame = websocket.receive()
        if frame.opcode is Opcode.CLOSE:
            raise ConnectionError("a close came")
        if frame.opcode in {Opcode.BINARY, Opcode.TEXT, Opcode.CONT}:
            data += frame.data
            if frame.fin:
                return data


def _leave(websocket: Framed, scenario: Scenario) -> None:
    """Vanish, with the server's echo on its way."""
    if scenario.work.app is App.SOCKET_ECHO:
        with contextlib.suppress(InvalidState):  # a server that ends may have begun to close it
            websocket.send(messages(scenario)[1])
    if scenario.client is Client.RESET_IN_ANSWER:
        websocket.reset()
