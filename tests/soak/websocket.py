"""The clients of WebSockets: ``tests.support.websocket_client``, a protocol without threads on a socket."""

import contextlib

from websockets.exceptions import InvalidState, InvalidStatus
from websockets.frames import Opcode

from tests.support.websocket_client import RawWebSocket

from .model import Complaint, Loss, Seen, messages
from .scenarios import App, Client, Scenario, Work
from .target import Target

__all__ = ["open_websockets", "play_websocket"]

#: RFC 6455, section 7.4.1: an error of the server's, here of its app; and a normal end.
_FAILED, _NORMAL = 1011, 1000


def play_websocket(target: Target, scenario: Scenario) -> list[Seen]:
    """Open one, and do what the scenario says. Raises ``OSError`` where there is no connection."""
    try:
        websocket = RawWebSocket(target.server, scenario.work.target)
    except InvalidStatus as refused:
        response = refused.response
        return [Seen(response.status_code, bytes(response.body or b""), complete=True)]
    with websocket:
        if scenario.client is not Client.CLOSE:
            _leave(websocket, scenario)
            return []
        if scenario.work.app is App.SOCKET_FAIL:
            return [Seen(101, b"", websocket.receive_close()[0] == _FAILED)]
        received: list[bytes] = []
        try:
            for message in messages(scenario):
                websocket.send(message)
                received.append(_message(websocket))
            websocket.send_close()
            complete = websocket.receive_close()[0] in {_NORMAL, 1005}
        except TimeoutError:
            return [Seen(101, b"".join(received), timed_out=True)]
        except (OSError, InvalidState) as error:
            # The server has ended the connection, or has begun to close the WebSocket.
            return [Seen(101, b"".join(received), note=repr(error))]
        return [Seen(101, b"".join(received), complete)]


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


def _message(websocket: RawWebSocket) -> bytes:
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


def _leave(websocket: RawWebSocket, scenario: Scenario) -> None:
    """Vanish, with the server's echo on its way."""
    if scenario.work.app is App.SOCKET_ECHO:
        with contextlib.suppress(InvalidState):  # a server that ends may have begun to close it
            websocket.send(messages(scenario)[1])
    if scenario.client is Client.RESET_IN_ANSWER:
        websocket.reset()
