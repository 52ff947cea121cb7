"""``wsgi.early_hints``: a 103 response before that of the app (RFC 8297), by the ASGI extension "Early Hints"."""

from collections.abc import Iterable

from ..mapping.headers import start_of_response
from .channel import Channel

__all__ = ["EarlyHints"]


class EarlyHints:
    """Sends a 103 response with the ``Link`` headers among those that it gets, at once.

    It is no method of the call, which has the environ: the two would hold one another.
    """

    __slots__ = ("_channel", "over")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        #: The response has started, and hints come too late.
        self.over = False

    def __call__(self, headers: Iterable[tuple[str, str]]) -> None:
        # They become headers of a response, and are checked as those are: none may write a header of its own.
        fields = start_of_response("200 OK", headers).message["headers"]
        links = [value for name, value in fields if name == b"link"]
        if links and not self.over:
            self._channel.put([{"type": "http.response.early_hint", "links": links}], 0)
