"""The servers that ``bridge serve`` knows: what each calls, what it can do, and its command line.

Each is started by its own command line, ``python -m server ...``, so that its workers, its reloader and its
signals are the server's own. What a server can't do is refused here, before anything starts; nothing asked
for is dropped.
"""

import importlib.util
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from bridge.errors import BridgeError
from bridge.kind import Kind

__all__ = ["SERVERS", "Options", "Server", "UsageError", "arguments", "check", "url", "workers"]

Address: TypeAlias = tuple[str, int]
"""Host and port."""

_APP = "bridge.cli.served:app"
_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8000


class UsageError(BridgeError, ValueError):
    """The command line asks for what can't be done; the message is one line that says why, and who can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for, apart from the app. None: not asked for."""

    host: str | None = None
    port: int | None = None
    workers: int | None = None
    threads: int | None = None
    reload: bool = False
    root_path: str = ""
    extra: tuple[str, ...] = ()
    """The server's own options, handed on as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One row of the table."""

    name: str
    interface: Kind
    """What it calls. granian calls both; the bridge's promises are those of its ASGI side."""
    command: Callable[[Options, "Address | None"], list[str]]
    """The words after ``python``; without an address, the server's own options say it."""
    requirement: str | None = None
    """What pip installs; None is the standard library."""
    workers: bool = False
    reload: Literal["no", "one worker", "yes"] = "no"
    threads: bool = False
    """It has threads of its own for the app. (On an ASGI server they are those of ``WsgiToAsgi``.)"""
    address_options: frozenset[str] = frozenset()
    """Its own options that say where it listens; with one of them it is told nothing else about that."""
    tls_option: str | None = None
    """Its own option that makes its URL https."""
    sigterm_interrupts: bool = False
    """It leaves SIGTERM to its default, which ends a process without shutdown."""

    @property
    def installed(self) -> bool:
        return self.requirement is None or importlib.util.find_spec(self.name) is not None


# --- command lines ------------------------------------------------------------------------------------------
# The app comes first, so that a value forgotten at the end of the user's options is missed where it is
# missing.


def _uvicorn(options: Options, address: Address | None) -> list[str]:
    # asgi3: its guess takes an ASGI app that is no coroutine function for ASGI 2.
    words = ["uvicorn", _APP, "--interface", "asgi3", *_host_and_port(address)]
    return ["-m", *words, *_workers(options), *_reload(options), *options.extra]


def _hypercorn(options: Options, address: Address | None) -> list[str]:
    words = ["hypercorn", f"asgi:{_APP}", *_bind(address)]
    return ["-m", *words, *_workers(options), *_reload(options), *options.extra]


def _granian(options: Options, address: Address | None) -> list[str]:
    # The app by its file: granian takes the name of a module for a path, and goes astray in a directory that
    # is itself a package.
    app = f"{Path(__file__).with_name('served.py')}:app"
    if address is not None:
        address = _ip_address(address[0]), address[1]
    words = ["granian", app, "--interface", "asgi", *_host_and_port(address)]
    return ["-m", *words, *_workers(options), *_reload(options), *options.extra]


def _daphne(options: Options, address: Address | None) -> list[str]:
    where = [] if address is None else ["--bind", address[0], "--port", str(address[1])]
    return ["-m", "daphne", _APP, *where, *options.extra]


def _gunicorn(options: Options, address: Address | None) -> list[str]:
    words = ["gunicorn", _APP, *_bind(address), *_workers(options), *_threads(options)]
    return ["-m", *words, *_reload(options), *options.extra]


def _waitress(options: Options, address: Address | None) -> list[str]:
    where = [] if address is None else ["--listen", _joined(*address)]
    # The app last: getopt takes no option after the first word that is none.
    return ["-m", "waitress", *where, *_threads(options), *options.extra, _APP]


def _wsgiref(_options: Options, address: Address | None) -> list[str]:
    host, port = address or (_DEFAULT_HOST, _DEFAULT_PORT)
    return ["-m", "bridge.cli.wsgiref", host, str(port)]


def _ip_address(host: str) -> str:
    """The address of a host: granian takes no names, not even localhost."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as exc:
        raise UsageError(f"--host {host}: {exc.strerror}") from exc


def _host_and_port(address: Address | None) -> list[str]:
    return [] if address is None else ["--host", address[0], "--port", str(address[1])]


def _bind(address: Address | None) -> list[str]:
    return [] if address is None else ["--bind", _joined(*address)]


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _workers(options: Options) -> list[str]:
    return [] if options.workers is None else ["--workers", str(options.workers)]


def _threads(options: Options) -> list[str]:
    return [] if options.threads is None else ["--threads", str(options.threads)]


def _reload(options: Options) -> list[str]:
    return ["--reload"] if options.reload else []


# --- the table ----------------------------------------------------------------------------------------------

_TABLE = (
    Server(
        name="uvicorn",
        interface="asgi",
        command=_uvicorn,
        requirement="'uvicorn[standard]'",
        workers=True,
        reload="one worker",
        address_options=frozenset({"--host", "--port", "--uds", "--fd"}),
        tls_option="--ssl-certfile",
    ),
    Server(
        name="hypercorn",
        interface="asgi",
        command=_hypercorn,
        requirement="hypercorn",
        workers=True,
        reload="yes",
        address_options=frozenset({"-b", "--bind"}),
        tls_option="--certfile",
    ),
    Server(
        name="granian",
        interface="asgi",
        command=_granian,
        requirement="'granian[reload]'",
        workers=True,
        reload="yes",
        address_options=frozenset({"--host", "--port", "--uds"}),
        tls_option="--ssl-certificate",
    ),
    Server(
        name="daphne",
        interface="asgi",
        command=_daphne,
        requirement="daphne",
        address_options=frozenset(
            {"-b", "--bind", "-p", "--port", "-u", "--unix-socket", "--fd", "-e", "--endpoint"}
        ),
    ),
    Server(
        name="gunicorn",
        interface="wsgi",
        command=_gunicorn,
        requirement="gunicorn",
        workers=True,
        reload="yes",
        threads=True,
        address_options=frozenset({"-b", "--bind"}),
        tls_option="--certfile",
    ),
    Server(
        name="waitress",
        interface="wsgi",
        command=_waitress,
        requirement="waitress",
        threads=True,
        address_options=frozenset({"--host", "--port", "--listen", "--unix-socket"}),
        sigterm_interrupts=True,
    ),
    Server(name="wsgiref", interface="wsgi", command=_wsgiref, sigterm_interrupts=True),
)

SERVERS: dict[str, Server] = {server.name: server for server in _TABLE}


# --- what is refused ----------------------------------------------------------------------------------------


def check(server: Server, options: Options) -> None:
    """Raise ``UsageError`` if the server is missing or can't do what is asked, whatever the app is."""
    if not server.installed:
        others = ", ".join(name for name, other in SERVERS.items() if other.installed)
        raise UsageError(
            f"{server.name} is not installed: python -m pip install {server.requirement} "
            f"(installed are {others})"
        )
    if options.workers is not None and options.workers > 1:
        if not server.workers:
            raise UsageError(
                _cannot(server, "--workers", "can't run more than one", [s for s in _TABLE if s.workers])
            )
        if options.reload and server.reload == "one worker":
            both = [s for s in _TABLE if s.reload == "yes"]
            raise UsageError(_cannot(server, "--reload with --workers", "can't do both", both))
    if options.reload and server.reload == "no":
        raise UsageError(_cannot(server, "--reload", "can't", [s for s in _TABLE if s.reload != "no"]))
    if options.threads is not None and server.interface == "wsgi" and not server.threads:
        able = [s for s in _TABLE if s.threads]
        raise UsageError(_cannot(server, "--threads", "can't, it handles one request at a time", able))
    if options.extra and server.name == "wsgiref":
        raise UsageError("wsgiref has no options of its own to take after --")
    _check_extra(server, options)


def check_threads(server: Server, options: Options, kinds: Sequence[str]) -> None:
    """Raise ``UsageError`` if ``--threads`` has no meaning for any app of these kinds on this server."""
    if options.threads is None or server.interface == "wsgi" or "wsgi" in kinds:
        return
    if "both" in kinds:
        raise UsageError(
            "--threads: a Dispatcher has its own; WsgiToAsgi(app, threads=N) in it says how many"
        )
    able = " and ".join(s.name for s in _TABLE if s.threads)
    raise UsageError(
        f"--threads: {server.name} runs an ASGI app on its event loop, not in threads; "
        f"the option is for WSGI apps, and for {able}"
    )


def _cannot(server: Server, option: str, why: str, able: list[Server]) -> str:
    *names, last = (s.name for s in able)
    return f"{option}: {server.name} {why}; {', '.join(names)} and {last} can"


def _check_extra(server: Server, options: Options) -> None:
    if _address(server, options) is None and (options.host is not None or options.port is not None):
        raise UsageError(f"--host and --port contradict {' '.join(options.extra)}: say where to listen once")
    own = replace(options, extra=())
    taken = {word for word in server.command(own, _address(server, options)) if word.startswith("--")}
    if options.root_path:
        taken |= {"--root-path", "--url-path-prefix", "--url-prefix"}
    for word in options.extra:
        if word.partition("=")[0] in taken:
            raise UsageError(f"{word} after -- contradicts what bridge tells {server.name} itself")


# --- starting -----------------------------------------------------------------------------------------------


def arguments(server: Server, options: Options) -> list[str]:
    """Return the words after ``python`` that run the server; ``options`` have been checked."""
    if server.interface == "asgi":
        options = replace(options, threads=None)  # they are WsgiToAsgi's
    return server.command(options, _address(server, options))


def workers(options: Options, environment: Mapping[str, str]) -> int | None:
    """Return how many processes will serve; None where options, variables or files of the server's own may say it."""
    if options.workers is not None:
        return options.workers
    if options.extra or not _WORKERS.isdisjoint(environment):
        return None
    return 1  # the default of each of them


#: Of uvicorn and gunicorn, of uvicorn, of granian; gunicorn has a variable for all its options.
_WORKERS = frozenset({"WEB_CONCURRENCY", "UVICORN_WORKERS", "GRANIAN_WORKERS", "GUNICORN_CMD_ARGS"})


def url(server: Server, options: Options) -> str:
    """Return where the server listens, to be shown to the user."""
    address = _address(server, options)
    if address is None:
        return f"where its own options say ({' '.join(options.extra)})"
    tls = server.tls_option is not None and _has(options.extra, frozenset({server.tls_option}))
    host, port = address
    where = f"{'https' if tls else 'http'}://{_joined(host, port)}"
    return f"a free port of {host}" if port == 0 else f"{where}{options.root_path}/"


def _address(server: Server, options: Options) -> Address | None:
    """None if the server's own options have it."""
    if _has(options.extra, server.address_options):
        return None
    host = _DEFAULT_HOST if options.host is None else options.host
    return host, _DEFAULT_PORT if options.port is None else options.port


def _has(words: tuple[str, ...], names: frozenset[str]) -> bool:
    """Whether one of the options is given: ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``."""
    return any(
        word.partition("=")[0] in names or (not word.startswith("--") and word[:2] in names) for word in words
    )
