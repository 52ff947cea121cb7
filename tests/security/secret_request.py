"""A request whose every part that may be secret has the same word in it."""

import io

from bridge.types import Environ
from tests.support.wsgi import environ_for

__all__ = ["SECRET", "secret_environ"]

SECRET = "s3cr3t"


def secret_environ(path: str, body: bytes) -> Environ:
    return environ_for(
        path,
        method="POST",
        body=body,
        query=f"token={SECRET}",
        RAW_URI=f"{path}?token={SECRET}",
        HTTP_COOKIE=f"sessionid={SECRET}",
        HTTP_AUTHORIZATION=f"Bearer {SECRET}",
    ) | {"wsgi.errors": io.StringIO()}
