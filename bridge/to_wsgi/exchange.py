"""One WSGI request and the ASGI app that answers it: what both ways of running the app do alike.

``to_wsgi.own_loop`` runs it on a loop of the request's own, in one thread; ``to_wsgi.shared_loop`` on a loop that
serves others as well, in a second thread. An ``Exchange`` knows no thread and has no lock. Each method says who calls
it; which thread owns which field is said by the two modules.
"""

import asyncio
import contextvars
from collections.abc import Callable, Iterable

from ..types import Environ, Message, StartResponse
from .client import DISCONNECT, GRACE, HERE
from .heads import HELD, send_head
from .request_body import NO_BODY, RequestBody
from .response import COMPLETE, Response

__all__ = ["Exchange"]


class Exchange:
    """A request, its response, and who waits for what."""

    # Slots, for a request reads its fields many times: CPython finds a slot sooner than a default of the class.
    __slots__ = (
        *("_body", "_environ", "_last_call", "_listeners", "_loop", "_message", "_more_body"),
        *("_reader", "_response", "client", "context", "head"),
    )

    _loop: asyncio.AbstractEventLoop

    def __init__(self, environ: Environ, body: RequestBody, method: str) -> None:
        self._environ = environ
        self._body = body
        self._response = Response(method)
        #: Who the response is for.
        self.client = HERE
        #: Whether the head goes out before there is a part of the body.
        self.head = HELD
        #: As ``to_wsgi.app_call.Failing.context``.
        self.context: contextvars.Context | None = None
        #: A message of the body that was read and not received yet; whether one is still to come after it.
        self._message: Message | None = None
        self._more_body = True
        #: Who waits in receive() for the next message of the body.
        self._reader: asyncio.Future[None] | None = None
        #: Who waits in receive() for the response's end.
        self._listeners: set[asyncio.Future[None]] = set()
        #: The timer that cancels an app which has been told that nobody listens.
        self._last_call: asyncio.TimerHandle | None = None

    @property
    def owner(self) -> object:
        """Whose request it is; see ``to_wsgi.app_call.works_for()``."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._response.phase.name} client={self.client.name}>"

    # The server's side.

    def _hand_over_head(self, start_response: StartResponse, *, alone: bool) -> None:
        """Give the server the response's head; have it sent ``alone``, where the body is not there yet."""
        response = self._response
        head = response.head
        if response.phase is not COMPLETE:
            self._body.keep()
        elif head.content_length is None:
            response.say_length()
        write = start_response(head.status, head.headers)
        if alone:
            send_head(self._environ, write)

    def _file_wrapper(self) -> Callable[..., Iterable[bytes]] | None:
        """The server's own means to send the app's file, which there is, if it has any that are of use."""
        if not self._response.file_is_whole:
            return None
        wrapper: Callable[..., Iterable[bytes]] | None = self._environ.get("wsgi.file_wrapper")
        return wrapper

    def _close_files(self) -> None:
        if self._body is not NO_BODY:
            self._body.close()
        if self._response.file is not None:
            self._response.file.close()

    # The app's side: its task, and what wakes it. On the loop.

    async def _receive(self) -> Message:
        while self._message is None:
            if self.client is not HERE or self._response.phase is COMPLETE:
                return {"type": DISCONNECT}
            if not self._more_body:
                break
            if self._body is NO_BODY:
                self._deliver({"type": "http.request", "body": b"", "more_body": False})
            else:
                await self._read_on()
        else:
            message, self._message = self._message, None
            return message
        self._listen()
        listener = self._loop.create_future()
        self._listeners.add(listener)
        try:
            await listener
        finally:
            self._listeners.discard(listener)
        return {"type": DISCONNECT}

    async def _read_on(self) -> None:
        """Wait until there is a message of the body, or none to come."""
        raise NotImplementedError

    def _listen(self) -> None:
        """The app wants to know when its client leaves."""
        raise NotImplementedError

    def _deliver(self, message: Message) -> None:
        """A message of the body was read. If who asked for it was cancelled meanwhile, the next one gets it."""
        self._message = message
        self._more_body = message.get("more_body", False)
        self._resolve_reader()

    def _fail(self, error: Exception) -> None:
        """Reading has failed, which is for who asked."""
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_exception(error)

    def _resolve_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _wake(self) -> None:
        """Let ``receive()`` go on: there is nothing to come but http.disconnect."""
        for listener in self._listeners:
            if not listener.done():
                listener.set_result(None)
        self._resolve_reader()

    def _dismiss(self, task: "asyncio.Task[BaseException | None]") -> None:
        """Tell the app that nobody is there: by http.disconnect, if it listens, and then by cancellation."""
        listening = bool(self._listeners) or self._reader is not None
        self._wake()
        if listening:
            self._last_call = self._loop.call_later(GRACE, task.cancel)
        else:
            task.cancel()
