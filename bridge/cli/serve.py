"""``bridge serve``: it reads what is asked for, refuses what can't be, and becomes the server.

Nothing of the user's is imported here: the server does that, once in each of its processes, as it would do without the
bridge. It runs in this very process: signals, exit status, workers and reloading are its own.
"""

import importlib.util
import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path

from ..kind import Kind
from .address import probe
from .asked import Asked
from .commands import arguments, check_extra
from .discovery import discover
from .errors import UsageError
from .folders import app_folder
from .options import ADAPTER_OPTIONS
from .parser import serve_parser
from .proxy import DEFAULT_TRUSTED, Trusted
from .servers import SERVERS, Server, check, has_option, own_configuration, url
from .sources import Layer, asked_for, from_environment, from_pyproject, from_words
from .target import Target
from .unknown import unrecognized
from .unused import refuse_unused

__all__ = ["prepared", "read", "run", "serve"]

_DEFAULT_SERVER = "uvicorn"


def run(words: list[str]) -> int:
    """Serve as ``words`` say. It returns when the server does; most servers end the process instead.

    Raises ``UsageError`` for what can't be served.
    """
    return serve(read(words, from_environment(os.environ), from_pyproject(Path.cwd())))


def read(words: list[str], *elsewhere: Layer) -> Asked:
    """Return what the words ask for, and what the layers say that the words don't. Raises ``UsageError``."""
    # What follows the first "--" is the server's; argparse would not keep it apart.
    end = words.index("--") if "--" in words else len(words)
    said, unknown = serve_parser().parse_known_args(words[:end])
    asked = asked_for([from_words(vars(said)), *elsewhere], tuple(words[end + 1 :]))
    if unknown:
        raise unrecognized(unknown, SERVERS[asked.server or _DEFAULT_SERVER])
    return asked


def serve(asked: Asked) -> int:
    """Serve what is asked for. As ``run``."""
    server = SERVERS[asked.server or _DEFAULT_SERVER]
    asked = prepared(asked, server.interface)  # first: variables of the server's are looked at too
    _check(server, asked)
    target = _target(server, asked)
    command = arguments(server, asked)
    if asked.log_level in {None, "info", "debug"}:
        print(_first_line(server, asked, target), file=sys.stderr, flush=True)
    os.environ.update(target.environment({}))
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    return 0


def prepared(asked: Asked, interface: Kind) -> Asked:
    """Return it with its app named, and the path of its folder absolute; the variables of its file are set.

    ``interface`` is what the server calls. Raises ``UsageError``.
    """
    folder = app_folder(asked.app_dir)
    if not asked.app and not asked.mount:
        asked = replace(asked, app=discover(folder, interface))
    if asked.env_file is not None:
        _load_env_file(asked.env_file)
    return replace(asked, app_dir=None if asked.app_dir is None else str(folder))


# --- what is refused ----------------------------------------------------------------------------------------


def _check(server: Server, asked: Asked) -> None:
    _check_shared_prefixes(asked)
    check(server, asked)
    if asked.forwarded_allow_ips is not None and not asked.proxy_headers:
        raise UsageError("--forwarded-allow-ips says whose headers count: it goes with --proxy-headers")
    if asked.ssl_keyfile is not None and asked.ssl_certfile is None:
        raise UsageError("--ssl-keyfile is the key of a certificate: it goes with --ssl-certfile")
    if asked.ssl_certfile is not None:
        from .certificate import check_certificate

        check_certificate(asked.ssl_certfile, asked.ssl_keyfile)
    if server.name != "gunicorn":  # its worker class says what it calls
        refuse_unused(asked.adapter, server, server.interface, None, asked.app or "")
    check_extra(server, asked)
    # Where it is told nothing, its own configuration or options may say another place.
    own = own_configuration(server, asked.extra, os.environ)
    if asked.address.said or (own is None and not has_option(asked.extra, server.address_options)):
        probe(asked.address)


def _check_shared_prefixes(asked: Asked) -> None:
    for number, mount in enumerate(asked.mount):
        rest = (*asked.mount[:number], *asked.mount[number + 1 :])
        others = [other for other in rest if other.prefix == mount.prefix]
        if others and mount.fallback:
            raise UsageError(
                f"--mount: leave ,fallback out behind {mount.app}; apps at one prefix, here {mount.prefix!r}, are "
                "asked in turn without it"
            )
        if any(other.app == mount.app for other in others):
            raise UsageError(f"--mount: {mount.app} is mounted twice at {mount.prefix!r}")


def _load_env_file(name: str) -> None:
    """Into this process's environment, and so into the server's; what is set already stays."""
    if not Path(name).is_file():
        raise UsageError(f"--env-file: there is no file {name!r}")
    if importlib.util.find_spec("dotenv") is None:
        raise UsageError("--env-file is read by python-dotenv: python -m pip install python-dotenv")
    import dotenv

    dotenv.load_dotenv(name)


# --- the start ----------------------------------------------------------------------------------------------


def _target(server: Server, asked: Asked) -> Target:
    to_asgi = {name: v for name, v in asked.adapter.items() if "WsgiToAsgi" in ADAPTER_OPTIONS[name].adapters}
    to_wsgi = {name: v for name, v in asked.adapter.items() if "AsgiToWsgi" in ADAPTER_OPTIONS[name].adapters}
    if asked.threads is not None and server.interface == "asgi":
        to_asgi = {"threads": asked.threads, **to_asgi}
    return Target(
        app=asked.app or "",
        mounts=asked.mount,
        kind=asked.kind,
        factory=bool(asked.factory),
        app_dir=asked.app_dir or "",
        interface=server.interface,
        server=server.name,
        to_asgi=to_asgi,
        to_wsgi=to_wsgi,
        root_path=asked.root_path or "",
        trusted=_trusted(asked) if asked.proxy_headers else "",
        workers=_workers(server, asked),
        threads=_threads(server, asked),
        log_level=asked.log_level or "",
        loads_in_main_process=bool(asked.reload) and server.reload_loads,
        sigterm_interrupts=server.sigterm_interrupts,
    )


def _trusted(asked: Asked) -> str:
    """Whose headers count. The variable is uvicorn's and gunicorn's."""
    listed = asked.forwarded_allow_ips or os.environ.get("FORWARDED_ALLOW_IPS") or DEFAULT_TRUSTED
    try:
        Trusted(listed)
    except ValueError as exc:
        raise UsageError(f"FORWARDED_ALLOW_IPS: {exc}") from None
    return listed


def _workers(server: Server, asked: Asked) -> int | None:
    """How many processes will serve; None where options, variables or files of the server's own may say it."""
    if asked.workers is not None:
        return asked.workers
    if asked.extra or own_configuration(server, asked.extra, os.environ) is not None:
        return None
    return 1  # the default of each of them


def _threads(server: Server, asked: Asked) -> int | None:
    """The threads of a WSGI server; those of gunicorn show in its worker."""
    if server.name == "wsgiref":
        return 1
    if server.name == "waitress" and asked.threads is None and not asked.extra:
        return 4  # its default
    return asked.threads if server.interface == "wsgi" else None


def _first_line(server: Server, asked: Asked, target: Target) -> str:
    workers = "" if target.workers in {None, 1} else f", {target.workers} workers"
    threads = (
        "" if target.threads is None else f", {target.threads} thread{'' if target.threads == 1 else 's'}"
    )
    each = " each" if workers and threads else ""
    what = " and ".join(dict.fromkeys(target.names))
    return f"bridge: {what} on {server.name}{workers}{threads}{each}: {url(server, asked, os.environ)}"
