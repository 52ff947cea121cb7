"""ASGI middleware that sites of today have: each wraps an ASGI app."""

import gzip
from collections.abc import Callable
from typing import Any

import brotli
from asgi_correlation_id import CorrelationIdMiddleware
from brotli_asgi import BrotliMiddleware
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator.middleware import PrometheusInstrumentatorMiddleware
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from bridge.types import ASGIApp, Receive, Scope, Send

__all__ = ["ENCODINGS", "MIDDLEWARE", "decoded"]


class _PassesOn(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def _prometheus(app: Any) -> ASGIApp:
    measured: Any = PrometheusInstrumentatorMiddleware(app, registry=CollectorRegistry())

    async def in_an_application(scope: Scope, receive: Receive, send: Send) -> None:
        # It looks the route up in the app that it is added to.
        await measured({"app": Starlette(), **scope}, receive, send)

    return in_an_application


# They are typed with protocols of their own for the same things.
MIDDLEWARE: dict[str, Callable[[Any], Any]] = {
    "Starlette's BaseHTTPMiddleware": _PassesOn,
    "Starlette's GZipMiddleware": GZipMiddleware,
    "brotli-asgi": BrotliMiddleware,
    "asgi-correlation-id": CorrelationIdMiddleware,
    "sentry-sdk": SentryAsgiMiddleware,
    "prometheus-fastapi-instrumentator": _prometheus,
}
#: What is in Content-Encoding behind those that compress.
ENCODINGS = {"Starlette's GZipMiddleware": "gzip", "brotli-asgi": "br"}


def decoded(body: bytes, encoding: str | None) -> bytes:
    """``body`` without its Content-Encoding."""
    if encoding is None:
        return body
    plain: bytes = {"gzip": gzip.decompress, "br": brotli.decompress}[encoding](body)
    return plain
