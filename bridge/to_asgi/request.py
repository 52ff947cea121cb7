"""One HTTP request to a WSGI app: the loop's side of it, from its scope to the end of the app's call.

Its way: the scope is mapped (``mapping.environ``), the body collected (``collect``), and a ``WsgiCall`` handed to a
worker thread. The worker puts what the app makes into a ``Channel``; here it is taken and sent (``sending``). All of
this is on the loop's thread, in the task of the request. How far it has come, ``_Stage``, is what decides how it ends,
and what there is to listen to beside it.

When it returns, the call has ended, ``close()`` included: a test client sees what the app's teardown did, and a server
that waits for its requests at its end waits for the app. The client does not wait for ``close()``: it runs while the
last batch is sent. So there are two orders. A quick ``close()`` is over when the loop has sent, and the loop, which
looks then, needs no second wake-up; a slow one wakes it. Where the response was a list, nothing is left to close, and
the worker has ended before it wakes the loop at all. What else may happen:

- The client leaves: the app hears of it at its next chunk, and its end is waited for. A call that waits for a thread is
  taken back from the queue; that its client has left is noticed after a second or two.
- The app fails, or ``send()`` raises. The server can answer, or cut the connection, when it gets the error, and so the
  client does wait for ``close()`` then; for a second, in case that it hangs.
- The app fails, and ``send()`` raises too: the server gets the error of ``send()``, and the app's is logged. So is
  the error of an app whose client has left before.
- The task is cancelled: that ends it at once. Who cancels does not want to wait; the pool still counts the call, and
  the lifespan's shutdown waits for it.
- The loop stops: nobody waits any more, and what the worker posts is lost.
"""

import enum
import functools

from ..errors import Overloaded, RequestBodyTooLarge
from ..mapping.environ import build_environ
from ..threads.jobs import Pool
from ..types import Environ, Receive, Scope, Send
from .body import SpoolError
from .call import WsgiCall
from .channel import Batch, Channel, End
from .collect import Body, no_room
from .file import FileWrapper
from .hints import EarlyHints
from .lost import log_beside
from .refusal import Refused, refuse
from .sending import break_off, messages_of
from .service import Service
from .watch import Listening, Watch, listen_with
from .wires import Wires

__all__ = ["Request"]

# Looked up once: Python 3.11 takes as long for that as for a call.
_MORE, _COMPLETE = End.MORE, End.COMPLETE

#: Bytes of a body up to which a response is short: servers have 64 KiB between themselves and a connection before
#: send() waits (asyncio's high-water mark, and uvicorn's own).
_SHORT = 65536
#: The versions of HTTP in which a client says how much it takes.
_WINDOWS = frozenset({"2", "3"})
#: Seconds that an app's error waits for the end of its call.
_CLOSING = 1.0


class _Stage(enum.Enum):
    """How far a request has come."""

    #: Its body is on the way to the bridge.
    COLLECTING = enum.auto()
    #: The app has it, and may read what is left of its body. Nothing of the response is sent.
    CALLED = enum.auto()
    #: The response is under way: who ends it now cuts it off.
    STARTED = enum.auto()
    #: The bridge answers in place of the app. What is left of the body is nobody's.
    REFUSED = enum.auto()


class Request:
    """All fields are of the request's own task."""

    __slots__ = (
        "_body",
        "_call",
        "_channel",
        "_pool",
        "_receive",
        "_scope",
        "_send",
        "_service",
        "_stage",
        "_waits",
        "_watch",
        "_wires",
    )

    # For those that reach an app.
    _body: Body
    _channel: Channel
    _call: WsgiCall
    _pool: Pool

    def __init__(self, service: Service, wires: Wires, scope: Scope, receive: Receive, send: Send) -> None:
        self._service = service
        self._wires = wires
        self._scope = scope
        self._receive = receive
        self._send = send
        self._stage = _Stage.COLLECTING
        # Who listens for the client's leaving, where anybody need. A request that waits for a thread has nobody, until
        # it is due: under load hardly any becomes due, and each may wait.
        self._watch: Watch | None = None
        self._waits = False

    async def run(self) -> None:
        """Until the end of the call. Raises the app's error, or what cuts a response off, or what ``send()`` raised."""
        try:
            try:
                environ = build_environ(self._scope)
            except ValueError as exc:
                raise Refused(400, str(exc)) from None
            body = await self._service.collector.collect(environ, self._receive, self._wires.mailbox)
            if body is not None:
                self._hand_over(environ, body)
                del environ  # an error of the app's would show it: see mapping.hidden
                await self._respond()
            else:
                self._service.tally.add("clients_left")
        except Refused as refused:
            await self.refuse(refused)

    async def refuse(self, refused: Refused) -> None:
        """Answers in place of the app."""
        self._stage = _Stage.REFUSED
        self._service.tally.add("refused" if refused.status == 503 else "rejected")
        try:
            await refuse(self._scope, self._listen(), refused)
        finally:
            self._stop_listening()

    # Beside it.

    def _listen(self) -> Watch:
        """Has somebody listen for the client's leaving, soon: the one who calls ``receive()`` from now on."""
        if self._watch is None:
            self._stop_waiting()
            listening: Listening
            if self._stage is _Stage.REFUSED:
                listening, left = listen_with(self._receive, self._scope, more=True), _nobody
            else:
                left = self._leave
                if self._body.stream is None:
                    listening = listen_with(self._receive, self._scope)
                else:
                    feed = self._service.collector.feed
                    listening = functools.partial(feed, self._receive, self._scope, self._body)
            self._watch = Watch(self._wires.watches, listening, self._send, left)
        return self._watch

    def start(self) -> None:
        """It has waited for a thread for so long that somebody has to listen."""
        self._listen().start()

    def _stop_listening(self) -> None:
        if self._waits:
            self._stop_waiting()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _stop_waiting(self) -> None:
        """It is not due for a watch any more: it has one, or is over."""
        self._waits = False
        self._wires.waiting.discard(self)

    def _leave(self) -> None:
        """The client has left, or the server gives the request up: the app hears of it, or is not called any more."""
        if self._channel.leave():
            self._service.tally.add("clients_left")
        if self._pool.withdraw(self._call):
            # Its place in the queue is free for a client that is there.
            self._service.collector.discard(self._body.input, self._wires.mailbox)

    # To the app.

    def _hand_over(self, environ: Environ, body: Body) -> None:
        service, wires, extensions = self._service, self._wires, self._scope.get("extensions")
        self._body = body
        self._channel = channel = Channel(wires.mailbox, service.response_buffer)
        environ["wsgi.multithread"] = service.multithread
        environ["wsgi.file_wrapper"] = FileWrapper
        environ["waitress.client_disconnected"] = channel.ask
        hints = None
        if extensions and "http.response.early_hint" in extensions:
            environ["wsgi.early_hints"] = hints = EarlyHints(channel)
        files = extensions if service.sendfile else None
        loop = wires.mailbox.loop
        self._call = call = WsgiCall(
            service.app, environ, channel, loop if service.on_server_loop else None, files, hints
        )
        try:
            self._pool = pool = service.pool or service.make_pool()
            waits = pool.submit(call)
        except BaseException as exc:
            service.collector.discard(body.input, wires.mailbox)
            if isinstance(exc, Overloaded):
                raise service.busy.refused(exc) from None
            raise
        self._stage = _Stage.CALLED
        if body.stream is not None:
            self._listen().start()  # who listens feeds the app too
        elif waits:
            # For a thread, perhaps for long: the client may give up, and need not have its turn then.
            self._waits = True
            wires.waiting.add(self)
        if waits:
            service.busy.waits(loop, pool)

    # From the app.

    async def _respond(self) -> None:
        channel = self._channel
        failed: BaseException | None = None
        sent = False
        try:
            # Waited for here: a coroutine more is an object more for the garbage collector, which looks at all requests
            # on their way again and again.
            await channel.waiter
            batch = channel.take()
            if self._is_short(batch):
                for message in messages_of(batch):
                    await self._send(message)
            else:
                sending = self._send_all(batch)
                del batch  # an error of the app's would show its headers
                await sending
            sent = True
        except Exception as exc:  # noqa: BLE001  # it is raised at the end
            # Of send(): by the ASGI specification (2.4) an OSError says that the client has left.
            failed = exc
            self._leave()
        except BaseException:
            self._leave()
            raise
        finally:
            # On every way out of here: the worker waits for nobody any more, and nobody has its error.
            error, running = channel.close()
            self._stop_listening()
            if self._body.stream is not None:
                self._body.stream.release()
            if error is not None and not sent:
                # What is raised is another one. This comes last, for the log may fail.
                log_beside(error, self._scope)
                error = None
        if error is None and failed is None:
            if running:
                await channel.until_ended()
            return
        try:
            if running:
                await channel.until_ended(_CLOSING)
            if failed is None and error is not None:
                failed = self._as_raised(error)
            if failed is not None:
                raise failed
        finally:
            # Their tracebacks lead to this frame.
            del error, failed

    async def _send_all(self, batch: Batch) -> None:
        channel = self._channel
        # Before the first send(): with a client that does not read, even that may take for ever.
        watch = self._listen()
        while True:
            if self._body.stream is not None and batch.end is not _MORE:
                # The app reads no more, and what it left must not keep anybody from listening.
                self._body.stream.release()
            for message in messages_of(batch):
                await watch.send(message)
            if batch.end is _COMPLETE:
                return
            if self._stage is _Stage.CALLED and _starts(batch):
                self._stage = _Stage.STARTED
            if batch.end is not _MORE:
                return
            if _ends_by_path(batch):
                # granian opens the file after send() has returned. Its http.disconnect comes about then, not
                # surely later: see _is_path() in file.py for the files that this is good enough for. It does not come
                # at all where a middleware has kept the path to itself, and the app's thread waits meanwhile.
                await watch.has_left()
                return
            if not batch.items:
                watch.start()  # the app asks whether the client is there
            batch = await channel.following()
            if batch.end is _MORE:
                # So that a client that left before this chunk is known to have left at the next one.
                watch.start()

    def _is_short(self, batch: Batch) -> bool:
        """Whether ``batch`` is a whole response, and nobody need listen: no ``send()`` of it waits for the client.

        A stream of HTTP/2 or HTTP/3 has a window that the client gives, for it alone and with the others of the
        connection; it may be used up, so that one byte waits. In HTTP/1 a short response fits into the server's buffer.
        The buffer may be full, because the client has not read the responses before; then the client's leaving ends the
        connection, and with it the wait.
        """
        return (
            batch.end is _COMPLETE
            and batch.size <= _SHORT
            and self._watch is None  # else somebody listens already, or feeds the app
            and self._scope.get("http_version") not in _WINDOWS
        )

    def _as_raised(self, error: BaseException) -> BaseException | None:
        """The app's error, in the way in which the server understands it."""
        if self._stage is _Stage.STARTED:
            return break_off(error, self._scope, self._send)
        if isinstance(error, RequestBodyTooLarge):
            return Refused(413, str(error))  # the app gave no answer of its own
        if isinstance(error, SpoolError):
            return no_room()
        return error


def _nobody() -> None:
    """Nobody else has to know that the client has left."""


def _starts(batch: Batch) -> bool:
    """Whether ``batch``, the first one or after others of early hints, has the start of the response."""
    # Early hints come before it alone, so the last item tells.
    last = batch.items[-1] if batch.items else None
    return last is not None and (isinstance(last, bytes) or last["type"] != "http.response.early_hint")


def _ends_by_path(batch: Batch) -> bool:
    """Whether the last item of ``batch`` hands a file over by its path."""
    last = batch.items[-1] if batch.items else b""
    return not isinstance(last, bytes) and last["type"] == "http.response.pathsend"
