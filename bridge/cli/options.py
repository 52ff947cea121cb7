"""The options of ``bridge serve``, as a table: what each is called, takes, and is for.

All else is made of it: the command line and its help, the variables ``BRIDGE_*``, the keys of ``[tool.bridge.serve]``,
and the parameters that the adapters get. Reading a value raises ``ValueError``, whose text says what is wrong with it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..mapping.prefixes import normal_prefix
from .address import parse_bind, parse_port
from .asked import MountPoint
from .proxy import DEFAULT_TRUSTED, Trusted
from .servers import SERVERS

__all__ = ["ADAPTER_OPTIONS", "GROUPS", "OPTIONS", "Option"]

Adapter: TypeAlias = Literal["WsgiToAsgi", "AsgiToWsgi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One row of the table."""

    name: str
    """``ssl_certfile``: ``--ssl-certfile``, ``BRIDGE_SSL_CERTFILE``, and ``ssl-certfile`` in pyproject.toml."""
    group: str
    help: str
    shape: Literal["value", "switch", "pair", "list"] = "value"
    """It takes a value; it is ``--name`` alone; it is ``--name`` or ``--no-name``; it may be given several times."""
    short: str | None = None
    metavar: str = ""
    choices: tuple[str, ...] = ()
    read: Callable[[str], Any] = str
    adapters: tuple[Adapter, ...] = ()
    """The adapters that have a parameter of this name."""

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"BRIDGE_{self.name.upper()}"

    def value(self, text: str) -> Any:
        """Return what the text says. Raises ``ValueError``."""
        if self.shape in {"switch", "pair"}:
            return _switch(text)
        if self.choices and text not in self.choices:
            raise ValueError(f"{text!r} is none of {', '.join(self.choices)}")
        return self.read(text)


# --- reading values -----------------------------------------------------------------------------------------


def _switch(text: str) -> bool:
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither true nor false")
    return known[text.lower()]


def _number_from(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"{text!r} is not a number from {least} up")
        return int(text)

    return read


_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _size(text: str) -> int:
    digits = text.rstrip("kKmMgG")
    unit = text[len(digits) :].lower()
    if not digits.isdecimal() or unit not in _UNITS:
        raise ValueError(f"{text!r} is not a number of bytes, such as 65536, 64k or 10M")
    return int(digits) * _UNITS[unit]


def _size_from_1(text: str) -> int:
    if _size(text) < 1:
        raise ValueError(f"{text!r} is not a number of bytes from 1 up")
    return _size(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not seconds >= 0 or math.isinf(seconds):
        raise ValueError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def _some(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text


def _host(text: str) -> str:
    if not text:
        raise ValueError("it is empty; 0.0.0.0 is everywhere")
    return text


def _root_path(text: str) -> str:
    return normal_prefix(text) if text else ""


def _trusted(text: str) -> str:
    Trusted(text)
    return text


def _mount(text: str) -> MountPoint:
    prefix, equals, app = text.partition("=")
    fallback = app.endswith(",fallback")
    app = app.removesuffix(",fallback")
    if not equals or not app:
        raise ValueError(f"{text!r} is not /prefix=APP, such as /api=new.main:app")
    app_itself, comma, word = app.rpartition(",")
    if comma and word.isidentifier() and "(" not in app_itself:
        raise ValueError(f"{text!r} ends with ,{word}; what may be there is ,fallback")
    return MountPoint(prefix=normal_prefix(prefix) or "/", app=app, fallback=fallback)


# --- the table ----------------------------------------------------------------------------------------------

APP = "the app"
WHERE = "where it listens"
SERVER = "the server"
TO_ASGI = "a WSGI app on an ASGI server: WsgiToAsgi"
TO_WSGI = "an ASGI app on a WSGI server: AsgiToWsgi"
GROUPS = (APP, WHERE, SERVER, TO_ASGI, TO_WSGI)

_BOTH: tuple[Adapter, ...] = ("WsgiToAsgi", "AsgiToWsgi")


def _row(group: str, name: str, metavar: str, help: str, **more: Any) -> Option:  # noqa: A002 - argparse's word
    return Option(group=group, name=name, metavar=metavar, help=help, **more)


_TABLE = (
    _row(
        APP,
        "mount",
        "/PREFIX=APP",
        "an app under a prefix, once for each, instead of APP; / is for the rest; see above",
        shape="list",
        read=_mount,
    ),
    _row(APP, "kind", "KIND", "wsgi or asgi: what APP is, where it does not show", choices=("wsgi", "asgi")),
    _row(APP, "factory", "", "APP is a function that makes the app", shape="switch"),
    _row(APP, "app_dir", "DIR", "where to look for APP (default: the current one)", read=_some),
    _row(APP, "env_file", "FILE", "variables for the app, as in .env (by python-dotenv)", read=_some),
    _row(
        APP,
        "root_path",
        "/PATH",
        "prefix of the app's URLs, as root_path and SCRIPT_NAME; a proxy may cut it off or leave it",
        read=_root_path,
    ),
    _row(WHERE, "host", "ADDRESS", "default 127.0.0.1; 0.0.0.0 is everywhere", read=_host),
    _row(
        WHERE,
        "port",
        "PORT",
        "default 8000; 0 is a free one, which the server names",
        short="-p",
        read=parse_port,
    ),
    _row(
        WHERE,
        "bind",
        "ADDRESS",
        "both: host:port, :port, unix:path or fd://number",
        short="-b",
        read=parse_bind,
    ),
    _row(WHERE, "uds", "PATH", "a Unix socket", read=_some),
    _row(WHERE, "fd", "NUMBER", "a socket that is open already", read=_number_from(0)),
    _row(WHERE, "ssl_certfile", "FILE", "certificate, for https", read=_some),
    _row(WHERE, "ssl_keyfile", "FILE", "its key (default: in the same file)", read=_some),
    _row(SERVER, "server", "NAME", "one of those below (default uvicorn)", choices=tuple(SERVERS)),
    _row(SERVER, "workers", "N", "worker processes", short="-w", read=_number_from(1)),
    _row(
        SERVER,
        "threads",
        "N",
        "threads that run the app: WsgiToAsgi's (default 40) for a WSGI app on an ASGI server, "
        "the server's own on gunicorn and waitress",
        read=_number_from(1),
    ),
    _row(SERVER, "reload", "", "start anew when a source file changes", shape="switch"),
    _row(
        SERVER,
        "log_level",
        "LEVEL",
        "critical, error, warning, info or debug",
        choices=("critical", "error", "warning", "info", "debug"),
    ),
    _row(SERVER, "access_log", "", "log each request, or none (default: the server's)", shape="pair"),
    _row(
        SERVER,
        "proxy_headers",
        "",
        "take the client's address and scheme from X-Forwarded-For and -Proto, alike on every server; "
        "left out, each server has its own way",
        shape="pair",
    ),
    _row(
        SERVER,
        "forwarded_allow_ips",
        "LIST",
        f"whose headers count: addresses, networks, or * (default $FORWARDED_ALLOW_IPS, or {DEFAULT_TRUSTED})",
        read=_trusted,
    ),
    _row(
        TO_ASGI,
        "backlog",
        "N",
        "requests that may wait for a thread; one more gets 503 (default 1024)",
        read=_number_from(0),
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_ASGI,
        "request_body",
        "HOW",
        "buffer: call the app with a complete body; stream: while it arrives (default buffer)",
        choices=("buffer", "stream"),
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_ASGI,
        "request_buffer",
        "BYTES",
        "of the body in memory; the rest is in a file (default 64k)",
        read=_size_from_1,
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_ASGI,
        "max_body_size",
        "BYTES",
        "a longer body gets 413 (default: no limit)",
        read=_size,
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_ASGI,
        "response_buffer",
        "BYTES",
        "that the app may be ahead of its client (default 256k)",
        read=_size_from_1,
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_ASGI,
        "async_views",
        "HOW",
        "own: each async view has a loop of its own; server: they share the server's (default own)",
        choices=("own", "server"),
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_ASGI,
        "websocket_threads",
        "N",
        "WebSockets at a time, each with a thread beside those (default 512)",
        read=_number_from(0),
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_ASGI,
        "shutdown_timeout",
        "SECONDS",
        "for running requests at the end (default 30)",
        read=_seconds,
        adapters=("WsgiToAsgi",),
    ),
    _row(
        TO_WSGI,
        "loop",
        "HOW",
        "request: each request has a loop of its own; shared: one per process, for async pools and clients "
        "that the app makes at its start (default request)",
        choices=("request", "shared"),
        adapters=("AsgiToWsgi",),
    ),
    _row(
        TO_WSGI,
        "loop_factory",
        "NAME",
        "what makes the loops, such as uvloop:new_event_loop",
        read=_some,
        adapters=("AsgiToWsgi",),
    ),
    _row(
        TO_WSGI,
        "lifespan",
        "HOW",
        "auto, on: the app must have one, or off: it is not run (default auto)",
        choices=("auto", "on", "off"),
        adapters=("AsgiToWsgi",),
    ),
    _row(
        TO_WSGI,
        "sendfile",
        "",
        "either adapter: send files by the server's own means; not every middleware knows these",
        shape="switch",
        adapters=_BOTH,
    ),
)

OPTIONS: dict[str, Option] = {option.name: option for option in _TABLE}
ADAPTER_OPTIONS: dict[str, Option] = {name: option for name, option in OPTIONS.items() if option.adapters}
