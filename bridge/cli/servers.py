"""The servers that ``bridge serve`` knows: what each calls, what it can do, and where its own configuration is.

Each is started by its own command line (``commands``), so that its workers, its reloader and its signals are the
server's own. What a server can't do is refused here, before anything starts; nothing asked for is dropped.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..kind import Kind
from .asked import Asked
from .errors import UsageError

__all__ = ["SERVERS", "Server", "check", "has_option", "own_configuration", "url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One row of the table."""

    name: str
    interface: Kind
    """What it calls. granian calls both; the bridge's promises are those of its ASGI side."""
    requirement: str | None = None
    """What pip installs; None is the standard library."""
    workers: bool = False
    reload: Literal["no", "one worker", "yes"] = "no"
    reload_loads: bool = False
    """Its reloader loads the app in the main process too, to learn which files to watch."""
    threads: bool = False
    """It has threads of its own for the app. (On an ASGI server they are those of ``WsgiToAsgi``.)"""
    uds: bool = True
    fd: bool = True
    tls: bool = True
    access_log: bool = True
    tells_address: bool = False
    """Its own default address is another one than the bridge's, or it has none."""
    address_options: frozenset[str] = frozenset()
    """Its own options that say where it listens; with one of them it is told nothing else about that."""
    tls_option: str | None = None
    """Its own option that makes its URL https."""
    config_options: frozenset[str] = frozenset()
    """Its own options that name a configuration file."""
    config_file: str | None = None
    """Which it reads unasked."""
    variables: str | None = None
    """What its own environment variables begin with."""
    other_variables: frozenset[str] = frozenset()
    logger: str
    """Its logger, whose format and level the bridge's lines have. Empty: the root logger."""
    log_format: tuple[str, str | None] = ("%(message)s", None)
    """Format and time format, where its logger is set up after the app is loaded."""
    sets_level: bool = True
    """It has a log level among its options; else the logger's level is set."""
    sigterm_interrupts: bool = False
    """It leaves SIGTERM to its default, which ends a process without shutdown."""

    @property
    def installed(self) -> bool:
        return self.requirement is None or importlib.util.find_spec(self.name) is not None


_TABLE = (
    Server(
        name="uvicorn",
        interface="asgi",
        requirement="'uvicorn[standard]'",
        workers=True,
        reload="one worker",
        address_options=frozenset({"--host", "--port", "--uds", "--fd"}),
        tls_option="--ssl-certfile",
        variables="UVICORN_",
        other_variables=frozenset({"WEB_CONCURRENCY"}),
        logger="uvicorn",
    ),
    Server(
        name="hypercorn",
        interface="asgi",
        requirement="hypercorn",
        workers=True,
        reload="yes",
        reload_loads=True,
        address_options=frozenset({"-b", "--bind"}),
        tls_option="--certfile",
        config_options=frozenset({"-c", "--config"}),
        logger="hypercorn.error",
        log_format=("%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S %z]"),
    ),
    Server(
        name="granian",
        interface="asgi",
        requirement="'granian[reload]'",
        workers=True,
        reload="yes",
        fd=False,
        address_options=frozenset({"--host", "--port", "--uds"}),
        tls_option="--ssl-certificate",
        variables="GRANIAN_",
        logger="_granian",
    ),
    Server(
        name="daphne",
        interface="asgi",
        requirement="daphne",
        address_options=frozenset(
            {"-b", "--bind", "-p", "--port", "-u", "--unix-socket", "--fd", "-e", "--endpoint"}
        ),
        logger="",
        sets_level=False,
    ),
    Server(
        name="gunicorn",
        interface="wsgi",
        requirement="gunicorn",
        workers=True,
        reload="yes",
        threads=True,
        address_options=frozenset({"-b", "--bind"}),
        tls_option="--certfile",
        config_options=frozenset({"-c", "--config"}),
        config_file="gunicorn.conf.py",
        variables="GUNICORN_CMD_ARGS",
        other_variables=frozenset({"WEB_CONCURRENCY", "PORT", "LISTEN_FDS"}),  # the last one is systemd's
        logger="gunicorn.error",
    ),
    Server(
        name="waitress",
        interface="wsgi",
        requirement="waitress",
        threads=True,
        fd=False,
        tls=False,
        access_log=False,
        tells_address=True,
        address_options=frozenset({"--host", "--port", "--listen", "--unix-socket"}),
        logger="waitress",
        log_format=("%(levelname)s:%(message)s", None),
        sets_level=False,
        sigterm_interrupts=True,
    ),
    Server(
        name="wsgiref",
        interface="wsgi",
        uds=False,
        fd=False,
        tls=False,
        tells_address=True,
        logger="bridge",
        sets_level=False,
    ),
)

SERVERS: dict[str, Server] = {server.name: server for server in _TABLE}


# --- what is refused ----------------------------------------------------------------------------------------


def check(server: Server, asked: Asked) -> None:
    """Raise ``UsageError`` if the server is missing or can't do what is asked, whatever the app is."""
    if not server.installed:
        others = ", ".join(name for name, other in SERVERS.items() if other.installed)
        raise UsageError(
            f"{server.name} is not installed: python -m pip install {server.requirement} "
            f"(installed are {others})"
        )
    for option, wanted, field, why in (
        ("--workers", (asked.workers or 1) > 1, "workers", "can't run more than one"),
        ("--uds", asked.address.uds is not None, "uds", "takes no Unix socket"),
        ("--fd", asked.address.fd is not None, "fd", "takes no open socket"),
        ("--ssl-certfile", asked.ssl_certfile is not None, "tls", "speaks no https"),
        ("--access-log", asked.access_log is not None, "access_log", "has no access log"),
    ):
        if wanted and not getattr(server, field):
            raise UsageError(_cannot(server, option, why, [s for s in _TABLE if getattr(s, field)]))
    if asked.reload:
        able = [s for s in _TABLE if s.reload != "no"]
        if server.reload == "no":
            raise UsageError(_cannot(server, "--reload", "can't", able))
        if server.reload == "one worker" and (asked.workers or 1) > 1:
            able = [s for s in able if s.reload == "yes"]
            raise UsageError(_cannot(server, "--reload with --workers", "can't do both", able))
    if asked.threads is not None and server.interface == "wsgi" and not server.threads:
        able = [s for s in _TABLE if s.threads]
        raise UsageError(_cannot(server, "--threads", "can't, it handles one request at a time", able))
    if asked.extra and server.requirement is None:
        raise UsageError(f"{server.name} has no options of its own to take after --")
    if asked.address.said and has_option(asked.extra, server.address_options):
        raise UsageError(
            f"{_shown(asked.extra, server.address_options)} after -- contradicts {asked.address.bind}: say where to "
            "listen once"
        )


def _cannot(server: Server, option: str, why: str, able: list[Server]) -> str:
    *names, last = (s.name for s in able)
    return f"{option}: {server.name} {why}; {', '.join(names)} and {last} can"


# --- its own configuration ----------------------------------------------------------------------------------


def own_configuration(server: Server, extra: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    """Return where the server has configuration of its own, besides ``extra``, in words; None: nowhere."""
    if has_option(extra, server.config_options):
        return f"its configuration, {_shown(extra, server.config_options)}"
    if server.config_file is not None and Path(server.config_file).is_file():
        return server.config_file
    names = sorted(
        name
        for name in environment
        if name in server.other_variables
        or (server.variables is not None and name.startswith(server.variables))
    )
    return ", ".join(names) or None


def url(server: Server, asked: Asked, environment: Mapping[str, str]) -> str:
    """Return where the server listens, to be shown to the user."""
    if has_option(asked.extra, server.address_options):
        return f"where its own options say ({_shown(asked.extra, server.address_options)})"
    configuration = own_configuration(server, asked.extra, environment)
    if not asked.address.said and configuration is not None:
        return f"where {configuration} may say"
    tls = server.tls_option is not None and has_option(asked.extra, frozenset({server.tls_option}))
    return asked.address.shown(tls or asked.ssl_certfile is not None, asked.root_path or "")


def has_option(words: Iterable[str], names: frozenset[str]) -> bool:
    """Whether one of the options is given: ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``."""
    return any(
        word.partition("=")[0] in names or (not word.startswith("--") and word[:2] in names) for word in words
    )


def _shown(words: tuple[str, ...], names: frozenset[str]) -> str:
    """The options of these names with their values, to be shown; not the others, which may be passwords."""
    shown: list[str] = []
    for number, word in enumerate(words):
        if has_option([word], names):
            shown += words[number : number + 2] if word in names else [word]
    return " ".join(shown)
