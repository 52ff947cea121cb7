"""The clients on HTTP/2, without TLS: ``tests.support.http2``."""

import socket
import time

import h2.exceptions

from tests.support.http2 import Http2Connection, Http2Stream

from .http1 import PAUSE
from .model import Seen
from .scenarios import Client, Scenario, content
from .target import Target

__all__ = ["Http2"]


class Http2:
    """Plays one scenario at a time, each on a connection of its own; ``PIPELINE`` has three streams on one."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def close(self) -> None:
        """Nothing is kept."""

    def play(self, scenario: Scenario) -> list[Seen]:
        streams: list[Http2Stream] = []
        with Http2Connection(self._target.connect()) as connection:
            try:
                self._play(connection, scenario, streams)
            except TimeoutError:
                return [_seen(stream, timed_out=not stream.ended) for stream in streams]
            except (OSError, h2.exceptions.H2Error) as error:
                return [_seen(stream, note=repr(error)) for stream in streams] or [
                    Seen(None, note=repr(error))
                ]
        return [_seen(stream) for stream in streams]

    def _play(self, connection: Http2Connection, scenario: Scenario, streams: list[Http2Stream]) -> None:
        client, data = scenario.client, content(scenario.index, scenario.work.up)
        if client is Client.SLOW_READER:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        streams.extend(_begin(connection, scenario) for _ in range(3 if client is Client.PIPELINE else 1))
        stream = streams[0]
        if client in {Client.STALL, Client.LEAVE_IN_REQUEST}:
            cut = int(len(data) * scenario.at)
            connection.send(stream, data[:cut])
            if client is Client.LEAVE_IN_REQUEST:
                streams.clear()
                return
            time.sleep(PAUSE)
            data = data[cut:]
        if scenario.work.up:
            connection.send(stream, data, end=True)
        if client is Client.LEAVE_BEFORE_ANSWER:
            streams.clear()
            return
        limit = None
        if client in {Client.LEAVE_IN_ANSWER, Client.RESET_IN_ANSWER}:
            limit = int(scenario.work.down * scenario.at)
        while not all(stream.ended for stream in streams):
            if limit is not None and stream.status is not None and stream.size >= limit:
                break
            connection.receive()
        if client is Client.RESET_IN_ANSWER and not stream.ended:
            # The stream ends alone, and the connection lives on.
            connection.reset(stream)


def _begin(connection: Http2Connection, scenario: Scenario) -> Http2Stream:
    work = scenario.work
    headers = [
        *((":method", "POST" if work.up else "GET"), (":scheme", "http")),
        *((":path", work.target), (":authority", "soak")),
    ]
    if work.up and not scenario.chunked:
        headers.append(("content-length", str(work.up)))
    return connection.begin(headers, end=not work.up)


def _seen(stream: Http2Stream, *, timed_out: bool = False, note: str = "") -> Seen:
    return Seen(stream.status, b"".join(stream.parts), stream.complete, timed_out, note, stream.headers)
