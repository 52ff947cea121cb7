"""bridge: WSGI apps on ASGI servers, and ASGI apps on WSGI servers."""

__version__ = "0.1.0"
