"""httpbin as its package gives it, behind bridge, with ``wsgiref.validate`` in between where httpbin stands it."""

from collections.abc import Iterable

from httpbin import app as httpbin_app

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.validation import validated

__all__ = ["app"]

# They answer 204 with a Content-Type, or 401 and 418 without one. PEP 3333 has no such rule; the validator does.
NOT_VALIDATED = ("/status/", "/basic-auth/", "/digest-auth/")
validated_app = validated(httpbin_app)


def choose(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    wanted = httpbin_app if environ["PATH_INFO"].startswith(NOT_VALIDATED) else validated_app
    answer: Iterable[bytes] = wanted(environ, start_response)
    return answer


app = WsgiToAsgi(choose)
