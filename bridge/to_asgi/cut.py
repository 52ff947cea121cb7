"""How a response that broke off is ended, so that no client takes its half for a whole.

By the ASGI specification the application raises, and the server cuts the connection. uvicorn, granian, and hypercorn
for HTTP/1 do. Two cases need more (hypercorn 0.18, daphne 4.2):

- hypercorn, HTTP/2: an ``Exception`` leaves the stream open for ever, and its client waiting. What is no ``Exception``
  ends the connection, with the other streams on it: the lesser evil.
- daphne: an exception after the start of a response ends its task that watches over all requests, which from then on
  never answers an error again. So nothing may leave the application; its own protocol object resets the connection.
"""

from ..log import log_app_error, request_name
from ..types import Scope, Send
from .daphne import daphne_protocol

__all__ = ["ResponseCut", "break_off"]


class ResponseCut(BaseException):
    """Ends an HTTP/2 connection on which a response broke off; the application's error is the ``__cause__``."""


def _log(error: BaseException, scope: Scope) -> None:
    name = request_name(scope.get("method", "GET"), scope["path"])
    log_app_error("%s: the WSGI app failed in the middle of its response", name, error=error, errors=None)


def break_off(error: BaseException, scope: Scope, send: Send) -> BaseException | None:
    """Loop side: the response is under way and ``error`` ends it.

    Returns what the caller has to raise, ``error`` or a ``ResponseCut``; ``None`` on daphne, where it is done.
    """
    protocol = daphne_protocol(send)
    if protocol is not None:
        _log(error, scope)
        protocol.channel.forceAbortClient()
        return None
    if scope.get("http_version") in {"2", "3"}:
        _log(error, scope)
        cut = ResponseCut("the WSGI app failed in the middle of a response")
        cut.__cause__ = error
        return cut
    return error
