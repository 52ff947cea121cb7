"""Options of an adapter that is not there: refused, with the reason.

Whether there is one shows from the server's kind and the apps' kinds. The first is known before anything starts, the
second when the app has been imported; the same rules are looked at both times.
"""

from collections.abc import Iterable

from ..kind import Kind
from .errors import UsageError
from .options import ADAPTER_OPTIONS
from .servers import SERVERS, Server
from .target import AppKind

__all__ = ["refuse_unused"]


def refuse_unused(
    names: Iterable[str], server: Server, interface: Kind, kinds: Iterable[AppKind] | None, app: str
) -> None:
    """Raise ``UsageError`` if one of the options means nothing there.

    Args:
        names: options that were said: those of the adapters, and ``threads``.
        server: the server.
        interface: what it calls.
        kinds: what the apps are; ``None``: not known yet.
        app: the app's name, for the message.
    """
    adapter = "WsgiToAsgi" if interface == "asgi" else "AsgiToWsgi"
    other: Kind = "wsgi" if interface == "asgi" else "asgi"
    for name in names:
        if name == "threads":
            if interface == "asgi" and kinds is not None and other not in kinds:
                raise UsageError(_threads(server, kinds))
            continue
        option = ADAPTER_OPTIONS[name]
        if adapter not in option.adapters:
            raise UsageError(
                f"{option.flag} is for {'an ASGI' if interface == 'asgi' else 'a WSGI'} app on "
                f"{'a WSGI' if interface == 'asgi' else 'an ASGI'} server; {server.name} is "
                f"{'an ASGI' if interface == 'asgi' else 'a WSGI'} server{_own(server, name)}"
            )
        if kinds is None or other in kinds:
            continue
        if "both" in kinds:
            raise UsageError(
                f"{option.flag}: a Dispatcher has its own; {adapter}(app, {name}=...) in it says it"
            )
        raise UsageError(
            f"{option.flag}: {app} is {'an ASGI' if interface == 'asgi' else 'a WSGI'} app, which {server.name} "
            f"calls itself; the option is for {adapter}, which is not needed{_own(server, name)}"
        )


def _own(server: Server, name: str) -> str:
    """Where the server has an option of the same name, how that one is given; else nothing."""
    having = {
        "backlog": {"uvicorn", "hypercorn", "granian", "gunicorn", "waitress"},
        "lifespan": {"uvicorn"},
        "loop": {"uvicorn", "granian"},
    }
    flag = ADAPTER_OPTIONS[name].flag
    return f"; {server.name}'s own goes behind --: -- {flag}" if server.name in having.get(name, ()) else ""


def _threads(server: Server, kinds: Iterable[AppKind]) -> str:
    if "both" in kinds:
        return "--threads: a Dispatcher has its own; WsgiToAsgi(app, threads=N) in it says how many"
    able = " and ".join(other.name for other in SERVERS.values() if other.threads)
    return (
        f"--threads: {server.name} runs an ASGI app on its event loop, not in threads; "
        f"the option is for WSGI apps, and for {able}"
    )
