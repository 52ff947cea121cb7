"""The command lines of the servers: what was asked for, in the words of each.

What the user didn't say is not said to the server either: its own configuration (a file, its variables) then holds, or
its default. Only waitress, whose default is every address of the machine, is told the bridge's.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .address import Address, resolved
from .asked import Asked
from .errors import UsageError
from .servers import Server, has_option

__all__ = ["arguments", "check_extra"]

_APP = "bridge.cli.served:app"


# The app comes first. So the server itself says which of the user's options, at the end, has no value: it would take
# the app for it.


def _uvicorn(asked: Asked, address: Address) -> list[str]:
    # asgi3: its guess takes an ASGI app that is no coroutine function for ASGI 2.
    words = ["uvicorn", _APP, "--interface", "asgi3", *_host_and_port(address)]
    words += [*_said("--uds", address.uds), *_said("--fd", address.fd), *_workers(asked), *_reload(asked)]
    words += [*_said("--ssl-certfile", asked.ssl_certfile), *_said("--ssl-keyfile", asked.ssl_keyfile)]
    words += [*_said("--log-level", asked.log_level), *_pair("access-log", asked.access_log)]
    # The bridge's own reading of the headers stands in for uvicorn's.
    return words + (["--no-proxy-headers"] if asked.proxy_headers is not None else [])


def _hypercorn(asked: Asked, address: Address) -> list[str]:
    words = [
        "hypercorn",
        f"asgi:{_APP}",
        *_bind(address),
        *_workers(asked),
        *_reload(asked),
        *_certificate(asked),
    ]
    return [*words, *_said("--log-level", asked.log_level), *_access_logfile(asked)]


def _granian(asked: Asked, address: Address) -> list[str]:
    # The app by its file: granian takes the name of a module for a path, and goes astray in a directory that
    # is itself a package.
    app = f"{Path(__file__).with_name('served.py')}:app"
    if address.host is not None:
        address = replace(address, host=_ip_address(address.host))
    words = ["granian", app, "--interface", "asgi", *_host_and_port(address), *_said("--uds", address.uds)]
    words += [*_workers(asked), *_reload(asked)]
    words += [*_said("--ssl-certificate", asked.ssl_certfile), *_said("--ssl-keyfile", _key(asked))]
    return [*words, *_said("--log-level", asked.log_level), *_pair("access-log", asked.access_log)]


def _daphne(asked: Asked, address: Address) -> list[str]:
    words = ["daphne", _APP]
    if asked.ssl_certfile is not None:
        words += ["--endpoint", _daphne_tls(asked, address)]
    else:
        words += [*_said("--bind", address.host), *_said("--port", address.port)]
        words += [*_said("--unix-socket", address.uds), *_said("--fd", address.fd)]
    match asked.access_log:
        case True:
            return [*words, "--access-log", "-"]
        case False:
            return [*words, "--access-log", os.devnull]
    return words


def _daphne_tls(asked: Asked, address: Address) -> str:
    """A server string of Twisted, in which a colon is quoted by a backslash."""
    if address.uds is not None or address.fd is not None:
        raise UsageError("--ssl-certfile: daphne speaks https at a host and port only")
    host, port = address.tcp

    def quoted(text: object) -> str:
        return str(text).replace("\\", "\\\\").replace(":", "\\:")

    return f"ssl:{port}:privateKey={quoted(_key(asked))}:certKey={quoted(asked.ssl_certfile)}:interface={quoted(host)}"


def _gunicorn(asked: Asked, address: Address) -> list[str]:
    # It is told the app by bridge.cli.gunicorn.
    words = ["bridge.cli.gunicorn", *_bind(address), *_workers(asked), *_said("--threads", asked.threads)]
    words += [*_reload(asked), *_certificate(asked)]
    words += [*_said("--log-level", asked.log_level), *_access_logfile(asked)]
    # The bridge reads the headers of proxies itself: older releases of gunicorn know no networks.
    return words + (["--forwarded-allow-ips="] if asked.proxy_headers is not None else [])


def _waitress(asked: Asked, address: Address) -> list[str]:
    where = [f"--unix-socket={address.uds}"] if address.uds is not None else [f"--listen={address.bind}"]
    words = ["waitress", *where, *_said("--threads", asked.threads)]
    # It drops the headers of proxies that it has not been told of, before the bridge could read them.
    return [*words, "--no-clear-untrusted-proxy-headers"] if asked.proxy_headers else words


def _wsgiref(asked: Asked, address: Address) -> list[str]:
    host, port = address.tcp
    return ["bridge.cli.wsgiref", host, str(port), *_pair("access-log", asked.access_log)]


_COMMANDS: dict[str, Callable[[Asked, Address], list[str]]] = {
    "uvicorn": _uvicorn,
    "hypercorn": _hypercorn,
    "granian": _granian,
    "daphne": _daphne,
    "gunicorn": _gunicorn,
    "waitress": _waitress,
    "wsgiref": _wsgiref,
}


def arguments(server: Server, asked: Asked) -> list[str]:
    """Return the words after ``python -m`` that run the server; what is asked for has been checked."""
    words = _own_words(server, asked)
    if server.name == "waitress":  # getopt takes no option after the first word that is none
        return [*words, *asked.extra, _APP]
    return [*words, *asked.extra]


def check_extra(server: Server, asked: Asked) -> None:
    """Raise ``UsageError`` if the server's own options say again what the bridge tells it."""
    taken = {word.partition("=")[0] for word in _own_words(server, asked) if word.startswith("--")}
    if "--workers" in taken:
        taken.add("-w")  # gunicorn's and hypercorn's
    if asked.root_path:
        taken |= {"--root-path", "--url-path-prefix", "--url-prefix"}
    for word in asked.extra:
        if has_option([word], frozenset(taken)):
            raise UsageError(f"{word} after -- contradicts what bridge tells {server.name} itself")


def _own_words(server: Server, asked: Asked) -> list[str]:
    words = _COMMANDS[server.name](asked, asked.address)
    if server.name == "waitress" and has_option(asked.extra, server.address_options):
        words = [word for word in words if not word.startswith(("--listen=", "--unix-socket="))]
    return words


def _ip_address(host: str) -> str:
    """The address of a host: granian takes no names, not even localhost."""
    *_, where = resolved(host, None)
    return str(where[0])


def _said(option: str, value: object) -> list[str]:
    return [] if value is None else [option, str(value)]


def _pair(name: str, value: bool | None) -> list[str]:
    return [] if value is None else [f"--{'' if value else 'no-'}{name}"]


def _host_and_port(address: Address) -> list[str]:
    return [*_said("--host", address.host), *_said("--port", address.port)]


def _bind(address: Address) -> list[str]:
    return ["--bind", address.bind] if address.said else []


def _workers(asked: Asked) -> list[str]:
    return _said("--workers", asked.workers)


def _reload(asked: Asked) -> list[str]:
    return ["--reload"] if asked.reload else []


def _key(asked: Asked) -> str | None:
    """The file of the key; by default it is in that of the certificate, as for ``ssl.SSLContext``."""
    return asked.ssl_keyfile or asked.ssl_certfile


def _certificate(asked: Asked) -> list[str]:
    return [*_said("--certfile", asked.ssl_certfile), *_said("--keyfile", _key(asked))]


def _access_logfile(asked: Asked) -> list[str]:
    if asked.access_log is None:
        return []
    return ["--access-logfile", "-" if asked.access_log else os.devnull]
