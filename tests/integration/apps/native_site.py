"""The framework apps natively, mounted as in ``site``: what a WSGI server makes of them, to compare with."""

from collections.abc import Iterable
from typing import Any

from bridge.types import StartResponse
from tests.integration.apps import bottle_app, django_app, falcon_app, flask_app, pyramid_app

FRAMEWORKS: dict[str, Any] = {
    "flask": flask_app.app,
    "django": django_app.app,
    "falcon": falcon_app.app,
    "bottle": bottle_app.app,
    "pyramid": pyramid_app.app,
}


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Move the first segment of the path to ``SCRIPT_NAME`` and call the app of that name."""
    name, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    answer: Iterable[bytes] = FRAMEWORKS[name](
        environ | {"SCRIPT_NAME": f"/{name}", "PATH_INFO": f"/{rest}"}, start_response
    )
    return answer
