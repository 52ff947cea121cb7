"""How a response that broke off is ended, so that no client takes its half for a whole.

By the ASGI specification the application raises, and the server cuts the connection. uvicorn, granian, and hypercorn
for HTTP/1 do. Two cases need more (hypercorn 0.18, daphne 4.2):

- hypercorn, HTTP/2: an ``Exception`` leaves the stream open for ever, and its client waiting. What is no ``Exception``
  ends the connection, with the other streams on it: the lesser evil.
- daphne: an exception after the start of a response ends its task that watches over all requests, which from then on
  never answers an error again. So nothing may leave the application; its own protocol object resets the connection.
"""

import logging

from ._daphne import daphne_protocol
from ._types import Scope, Send

__all__ = ["ResponseCut", "break_off"]

logger = logging.getLogger("bridge")


class ResponseCut(BaseException):
    """Ends an HTTP/2 connection on which a response broke off; the application's error is the ``__cause__``."""


def break_off(error: BaseException, scope: Scope, send: Send) -> BaseException | None:
    """Loop side: the response is under way and ``error`` ends it.

    Returns what the caller has to raise, ``error`` or a ``ResponseCut``; ``None`` on daphne, where it is done.
    """
    protocol = daphne_protocol(send)
    if protocol is not None:
        logger.error("the WSGI app failed in the middle of a response", exc_info=error)
        protocol.channel.forceAbortClient()
        return None
    if scope.get("http_version") in {"2", "3"}:
        logger.error("the WSGI app failed in the middle of a response", exc_info=error)
        cut = ResponseCut("the WSGI app failed in the middle of a response")
        cut.__cause__ = error
        return cut
    return error
