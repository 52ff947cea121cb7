"""A WSGI app with a probe around it: it writes down what the app sees and does, and changes nothing of it.

The iterable that the app returns goes on as it is where servers look at it (a list, a file), and in one of the probe's
own elsewhere.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..types import Environ, WSGIApp
from .recorder import Recorder, in_a_line
from .rules import WsgiRules

__all__ = ["probe_wsgi"]

_MARK = "HTTP_X_BRIDGE_CHECK"


def probe_wsgi(
    app: WSGIApp, recorder: Recorder, measure: Callable[[str], None], look: Callable[[], None]
) -> WSGIApp:
    """Return ``app`` with the probe around it.

    Args:
        app: what is checked.
        recorder: who writes it down.
        measure: called for a request that asks for it, with its name.
        look: called after each request of the check.
    """

    def probed(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        command = recorder.command(environ.pop(_MARK, ""))
        if not command:
            return app(environ, start_response)
        if not command.isdecimal():
            measure(command)
            start_response("204 No Content", [])
            return []
        return _Call(int(command), environ, recorder, look).begin(app, environ, start_response)

    return probed


class _Call:
    """One request. The server calls all of it, one after another."""

    def __init__(self, number: int, environ: Environ, recorder: Recorder, look: Callable[[], None]) -> None:
        self._number = number
        self._recorder = recorder
        self._look = look
        self._rules = WsgiRules(environ.get("REQUEST_METHOD", ""))
        self._status = 0
        self._first: float | None = None
        self._last: float | None = None
        self._over = False
        recorder.write(
            "begin",
            number=number,
            peer=environ.get("REMOTE_ADDR", ""),
            scheme=environ.get("wsgi.url_scheme", ""),
        )

    def begin(self, app: WSGIApp, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Call the app, and return what the server is to iterate over."""

        def start(status: str, headers: Any, *exc_info: Any) -> Callable[[bytes], object]:
            self._broken(self._rules.start(status, headers, exc_info[0] if exc_info else None))
            write: Callable[[bytes], object] = start_response(status, headers, *exc_info)
            self._status = int(status[:3]) if status[:3].isdecimal() else 0

            def written(data: bytes) -> object:
                self._made(data)
                return write(data)

            return written

        try:
            result = app(environ, start)
        except BaseException as exc:
            self._end(exc)
            raise
        self._broken(self._rules.result(result))
        if type(result) in {list, tuple}:
            for item in result:
                self._made(item)
            self._broken(self._rules.end())
            self._end()
            return result
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(result, wrapper):
            self._end(file=True)
            return result
        return _Iterable(result, self)

    def _made(self, item: bytes) -> None:
        self._broken(self._rules.item(item))
        if item:
            self._last = time.monotonic()
            self._first = self._first or self._last

    def _broken(self, rules: list[str]) -> None:
        for rule in rules:
            self._recorder.write_once("rule", self._number, interface="wsgi", rule=rule)

    def next(self, iterator: Iterator[bytes]) -> bytes:
        """The next piece of the body."""
        try:
            item = next(iterator)
        except StopIteration:
            self._broken(self._rules.end())
            raise
        except BaseException as exc:
            self._end(exc)
            raise
        self._made(item)
        return item

    def close(self, iterable: Any) -> None:
        """The server is done with the body."""
        try:
            if hasattr(iterable, "close"):
                iterable.close()
        except BaseException as exc:
            self._end(exc)
            raise
        self._end()

    def _end(self, error: BaseException | None = None, *, file: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self._look()
        self._recorder.write(
            "end",
            number=self._number,
            raised=in_a_line(error) if error else "",
            status=self._status,
            first_made=self._first,
            last_made=self._last,
            file=file,
            ended_at=time.monotonic(),
        )


class _Iterable:
    def __init__(self, iterable: Iterable[bytes], call: _Call) -> None:
        self._iterable = iterable
        self._iterator: Iterator[bytes] | None = None
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self._iterable)
        return self._call.next(self._iterator)

    def close(self) -> None:
        self._call.close(self._iterable)
