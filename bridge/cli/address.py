"""Where a server listens: a host and port, a Unix socket, or a descriptor that a supervisor has opened.

``Address`` is what was asked for. ``probe`` looks whether the place is free before anything is started, for each server
says it in another way: one with a traceback, one after it has imported the app and run its startup.
"""

import contextlib
import errno
import os
import socket
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "Address", "joined", "parse_bind", "probe", "resolved"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
#: What fits into sockaddr_un.sun_path beside the NUL at its end: it has 108 bytes on Linux, 104 on macOS and the BSDs.
_LONGEST_UNIX = 107 if sys.platform == "linux" else 103


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One of the three; with a host or a port alone, the other one is the default."""

    host: str | None = None
    port: int | None = None
    uds: str | None = None
    fd: int | None = None

    @property
    def said(self) -> bool:
        return self != Address()

    @property
    def tcp(self) -> tuple[str, int]:
        """Host and port, with the defaults."""
        host = DEFAULT_HOST if self.host is None else self.host
        return host, DEFAULT_PORT if self.port is None else self.port

    @property
    def bind(self) -> str:
        """As gunicorn and hypercorn take it."""
        if self.uds is not None:
            return f"unix:{self.uds}"
        return joined(*self.tcp) if self.fd is None else f"fd://{self.fd}"

    def shown(self, tls: bool, root_path: str) -> str:
        """For the user to click at, where that can be."""
        if self.uds is not None:
            return f"unix:{self.uds}"
        if self.fd is not None:
            return f"the socket of descriptor {self.fd}"
        host, port = self.tcp
        if port == 0:
            return f"a free port of {host}"
        return f"{'https' if tls else 'http'}://{joined(host, port)}{root_path}/"


def joined(host: str, port: int) -> str:
    """``host:port``, and ``[::1]:port`` for IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_port(text: str) -> int:
    """Return the port. Raises ``ValueError``."""
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def parse_bind(text: str) -> Address:
    """Return the address of ``host:port``, ``host``, ``:port``, ``[::1]:port``, ``unix:path`` or ``fd://number``.

    Raises ``ValueError`` for anything else.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError("unix: names no path; write unix:/run/app.sock")
        return Address(uds=path)
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        if not number.isdecimal():
            raise ValueError(f"{text!r} is not fd://NUMBER")
        return Address(fd=int(number))
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"{text!r} is not [address]:port")
        port = port[1:]
    elif text.count(":") > 1:
        raise ValueError(f"{text!r} is an IPv6 address; write [{text}] or [{text}]:port")
    else:
        host, _, port = text.partition(":")
    if not host and not port:
        raise ValueError(f"{text!r} is none of host:port, :port, unix:path and fd://number")
    # ":8000" is all addresses for gunicorn and for most others that know the form.
    return Address(
        host=host or ("0.0.0.0" if port else None),  # noqa: S104 - asked for
        port=parse_port(port) if port else None,
    )


# --- looking whether it is free -----------------------------------------------------------------------------


def probe(address: Address) -> None:
    """Raise ``UsageError`` if nobody can listen there. A free port may still be taken before the server takes it.

    A Unix socket that a server has left behind is removed.
    """
    if address.uds is not None:
        _probe_unix(address.uds)
    elif address.fd is not None:
        _probe_descriptor(address.fd)
    else:
        _probe_tcp(*address.tcp)


def _probe_tcp(host: str, port: int) -> None:
    family, kind, protocol, where = resolved(host, port)
    with socket.socket(family, kind, protocol) as probing:
        # As servers do. SO_REUSEPORT fails where the other one has not asked for it, and so refuses nobody who has.
        if os.name == "posix":
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError, AttributeError):
                probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probing.bind(where)
        except OSError as exc:
            raise UsageError(f"{joined(host, port)}: {_why(exc, port)}") from exc


def resolved(host: str, port: int | None) -> tuple[int, int, int, tuple[Any, ...]]:
    """Return family, kind, protocol and address of a socket that listens there. Raises ``UsageError``."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as exc:
        raise UsageError(f"{host}: {exc.strerror}") from exc
    except UnicodeError:  # of the codec for names beyond ASCII
        raise UsageError(f"{host}: it is neither an address nor the name of a host") from None
    return family, kind, protocol, where


def _why(exc: OSError, port: int) -> str:
    match exc.errno:
        case errno.EADDRINUSE:
            return "the port is in use; say another one with --port, or 0 for a free one"
        case errno.EACCES:
            return f"no permission for port {port}; ports from 1024 up need none"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address; 0.0.0.0 is all that it has"
    return os.strerror(exc.errno) if exc.errno else str(exc)


def _probe_unix(path: str) -> None:
    where = Path(path)
    if len(os.fsencode(path)) > _LONGEST_UNIX:
        raise UsageError(
            f"unix:{path}: a Unix socket's path has {_LONGEST_UNIX} bytes at most; say a shorter one"
        )
    if not where.parent.is_dir():
        raise UsageError(f"unix:{path}: there is no directory {str(where.parent)!r}")
    if not os.access(where.parent, os.W_OK):
        raise UsageError(f"unix:{path}: no permission to write into {str(where.parent)!r}")
    try:
        mode = where.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"unix:{path}: there is a file of this name that is no socket")
    if _is_left_behind(path):
        # By a server that is gone. Four of the servers replace it; granian and daphne would not start.
        where.unlink(missing_ok=True)


def _is_left_behind(path: str) -> bool:
    """Whether nobody listens at this socket. Raises ``UsageError`` if somebody does, or if that can't be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probing:
        probing.setblocking(False)
        try:
            probing.connect(path)
        except ConnectionRefusedError:
            return True
        except BlockingIOError:  # its queue of connections is full
            pass
        except OSError as exc:  # another user's, or one for datagrams
            raise UsageError(
                f"unix:{path}: there is a socket that can't be replaced: {exc.strerror}"
            ) from exc
    raise UsageError(f"unix:{path}: another server listens there")


def _probe_descriptor(number: int) -> None:
    try:
        mode = os.fstat(number).st_mode
    except (OSError, OverflowError):
        raise UsageError(
            f"there is no descriptor {number}; a supervisor has to open it and hand it on"
        ) from None
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"descriptor {number} is no socket")
