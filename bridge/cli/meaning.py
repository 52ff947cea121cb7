"""The lines that say what is served, what is in between, and what that means for streams."""

from ..to_wsgi.loops.mode import default_mode
from .target import AppKind, Target

__all__ = ["lines"]

_KINDS: dict[AppKind, str] = {"wsgi": "WSGI", "asgi": "ASGI", "both": "WSGI and ASGI"}


def lines(target: Target, kinds: list[AppKind]) -> list[str]:
    """Return a line for each app of the target."""
    if not target.mounts:
        return [f"{_KINDS[kinds[0]]} app {target.app}, {_how(target, kinds[0])}"]
    prefixes = [mount.prefix for mount in target.mounts]
    told = []
    for number, (mount, kind) in enumerate(zip(target.mounts, kinds, strict=True), 1):
        asks_next = mount.fallback or mount.prefix in prefixes[number:]
        turn = "; where it has nothing, the next one is asked" if asks_next else ""
        told.append(f"{mount.prefix}: {_KINDS[kind]} app {mount.app}, {_how(target, kind)}{turn}")
    return told


def _how(target: Target, kind: AppKind) -> str:
    if kind == "both":
        return "as it is"
    if kind == target.interface:
        holds = "the server's event loop runs it, and streams hold no thread"
        return f"as it is: {holds if kind == 'asgi' else _holds(target)}"
    if kind == "wsgi":
        from ..to_asgi.adapter import WsgiToAsgi

        threads = target.to_asgi.get("threads", _default(WsgiToAsgi, "threads"))
        return (
            f"in WsgiToAsgi({_parameters(target.to_asgi)}): each request, and so each stream, "
            f"holds one of {_count(threads, 'thread')}"
        )
    if (target.to_wsgi.get("loop") or default_mode()) == "shared":
        loop = "one event loop for all requests"
    else:
        loop = "an event loop for each request"
    return f"in AsgiToWsgi({_parameters(target.to_wsgi)}): {loop}; {_holds(target)}"


def _holds(target: Target) -> str:
    if target.threads is None:
        return "each request, and so each stream, holds a thread of the server's"
    if target.threads == 1:
        return "one request at a time, so that a stream stops all others"
    return f"each request, and so each stream, holds one of {target.threads} threads"


def _parameters(parameters: dict[str, object]) -> str:
    return ", ".join(["app", *(f"{name}={value!r}" for name, value in parameters.items())])


def _default(adapter: type, parameter: str) -> object:
    import inspect

    return inspect.signature(adapter).parameters[parameter].default


def _count(number: object, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
