"""All WebSockets of one adapter: the threads of their apps, how one is set up, and their end with the server's.

Each app that has a WebSocket has a thread for as long, beside those for requests.
"""

from ...errors import Overloaded
from ...threads.pool import ThreadPool
from ...types import Receive, Scope, Send, WSGIApp
from ..channel import Channel
from ..refusal import Refused
from ..watch import Watch
from ..wires import Wires
from .blocking import WebSocket, WebSocketCall
from .codes import RESTART
from .handshake import handshake_environ
from .inbox import Inbox
from .listener import Listener
from .relay import RelayPair
from .session import Session

__all__ = ["WebSockets", "shut_down"]


class WebSockets:
    """All WebSockets of one adapter, on any number of loops."""

    def __init__(
        self,
        app: WSGIApp,
        *,
        threads: int,
        received: int,
        sent: int,
        max_message: int | None,
        on_server_loop: bool,
    ) -> None:
        """``received``, ``sent``: bytes that may wait for the app, and for the client. ``max_message``: bytes.

        ``on_server_loop``: run the app's async code on the server's loop.
        """
        self._app = app
        self._threads = threads
        self._received = received
        self._sent = sent
        self._max_message = max_message
        self._on_server_loop = on_server_loop
        # No backlog: a handshake that waits for another client to leave may wait for hours.
        self.pool = ThreadPool(threads, 0, name="bridge-websocket")

    async def serve(self, scope: Scope, receive: Receive, send: Send, wires: Wires) -> None:
        """One websocket scope, on the loop of ``wires``.

        Raises:
            Refused: the request target is no path, or a header's name is none.
            Overloaded: all threads are taken.
            Exception: the app's own.
        """
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        try:
            environ = handshake_environ(scope)
        except ValueError as exc:
            raise Refused(400, str(exc)) from None
        mailbox = wires.mailbox
        channel = Channel(mailbox, self._sent)
        inbox = Inbox(mailbox, self._received)
        pair = RelayPair(channel)
        websocket = WebSocket(scope.get("subprotocols") or (), channel, inbox)
        environ["wsgi.websocket"] = websocket
        environ["werkzeug.socket"] = pair.socket_for_app()
        loop = mailbox.loop if self._on_server_loop else None
        call = WebSocketCall(self._app, environ, channel, loop, websocket, pair)
        try:
            self.pool.submit(call)
        except Overloaded:
            raise Overloaded(
                f"as many WebSockets are open as websocket_threads allows: {self._threads}"
            ) from None
        listener = Listener(receive, scope["path"], channel, inbox, pair, self._max_message)
        watch = Watch(wires.watches, listener.listen, send, listener.abort)
        session = Session(scope, send, watch, listener, channel, inbox, pair)
        wires.sessions.add(session)
        try:
            await session.run()
        finally:
            wires.sessions.discard(session)
            # A client that left at once: where no thread has come to its call yet, that one is free for the next.
            self.pool.withdraw(call)
            scope = environ = {}  # an error of the app's would show them: see mapping.hidden


def shut_down(wires: Wires) -> None:
    """Closes all WebSockets of a loop, on it: its server stops."""
    for session in wires.sessions:
        session.close(RESTART, "the server stops")
