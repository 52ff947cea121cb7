"""Telling WSGI from ASGI by looking at an app: one check for the adapters, for ``Dispatcher`` and the command line.

This module imports neither adapter and never calls an app. ``guess_kind`` is for who has to know; ``check_kind`` is for
who was told, and refuses what can't be so.
"""

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from asgiref.sync import iscoroutinefunction

__all__ = ["Kind", "UnknownKindError", "check_kind", "describe", "guess_kind", "is_async", "is_both"]

Kind: TypeAlias = Literal["wsgi", "asgi"]

_ENVIRON_NAMES = frozenset({"environ", "env", "start_response"})
_SCOPE_NAMES = frozenset({"scope", "receive", "send"})

# Where middleware of the field keeps the app that it passes its arguments on to; Dash has its Flask in "server". The
# last ones are of decorators.
_INNER_NAMES = (
    *("app", "application", "wsgi_app", "asgi_app", "_app", "wrapped_app", "server"),
    *("__wrapped__", "func", "fn", "f"),
)

# What is taken for an app and is none, by the package of its class, and what to do about it.
_HINTS = {
    "aiohttp": "aiohttp has a server of its own, and speaks neither WSGI nor ASGI",
    "flask_restful": "the app is the Flask object that it was made with",
    "flask_restx": "the app is the Flask object that it was made with",
    "flask_socketio": "the app is the Flask object that it was made with",
    "robyn": "Robyn has a server of its own, and speaks neither WSGI nor ASGI",
    "socketio": "socketio.WSGIApp(server) or socketio.ASGIApp(server) makes one",
    "tornado": "Tornado has a server of its own, and speaks neither WSGI nor ASGI",
    "web": "its method wsgifunc() makes one",
}


class UnknownKindError(TypeError):
    """It can be called, but its signature fits WSGI as well as ASGI."""


def guess_kind(app: object) -> Kind:
    """Say whether ``app`` is WSGI, ``(environ, start_response)``, or ASGI, ``(scope, receive, send)``.

    A coroutine function and an object whose ``__call__`` is one are ASGI. Otherwise the number of positional
    arguments decides; where it fits both, their names; and where these say nothing (``*args``), the app that
    the object wraps.

    Raises ``UnknownKindError`` if all that says nothing, and ``TypeError`` for what is no app: an object that
    can't be called, a factory, a class, an ASGI 2 app.
    """
    kind = _kind_by_signature(app)
    for inner in _wrapped_by(app):
        if kind is not None:
            break
        try:
            kind = _kind_by_signature(inner)
        except TypeError:  # not an app, so it says nothing about the one that holds it
            break
    if kind is not None:
        return kind
    raise UnknownKindError(
        f"{describe(app)} can be called as WSGI and as ASGI, and nothing in it says which it is"
    )


def check_kind(app: object, kind: Kind, where: str, instead: str = "") -> None:
    """Raise ``TypeError`` unless ``app`` is of this kind, or does not show its kind: then who says it knows.

    Args:
        app: what the user has given.
        kind: what it has to be.
        where: who wants that, for the message: ``"WsgiToAsgi"``.
        instead: what to do with an app of the other kind, where that is not to leave the adapter out.
    """
    if is_both(app):
        return
    try:
        shown = _kind_by_signature(app)
    except TypeError as exc:
        raise TypeError(f"{where}: {exc}") from None
    if shown is not None and shown != kind:
        name, other, adapter = _KINDS[shown]
        instead = instead or f"a server of its kind takes it as it is, one of the other kind {adapter}(app)"
        raise TypeError(f"{where}: {describe(app)} is {name} app, not {other} one; {instead}")


# What each is called, what the other is called, and the adapter that takes it.
_KINDS: dict[Kind, tuple[str, str, str]] = {
    "wsgi": ("a WSGI", "an ASGI", "WsgiToAsgi"),
    "asgi": ("an ASGI", "a WSGI", "AsgiToWsgi"),
}


def _wrapped_by(app: object) -> Iterator[object]:
    """The app inside ``app``, the one inside that, and so on; up to a depth, for one may contain itself."""
    for _ in range(32):
        attributes = _attributes(app)
        inner = next((attributes[name] for name in _INNER_NAMES if callable(attributes.get(name))), None)
        if inner is None:
            return
        yield inner
        app = inner


def _attributes(app: object) -> dict[str, Any]:
    if isinstance(app, functools.partial):
        return {"func": app.func}
    if inspect.ismethod(app):
        return dict(getattr(app.__self__, "__dict__", {}))
    attributes = dict(getattr(app, "__dict__", {}))
    if inspect.isfunction(app):  # a closure, such as wsgiref.validate makes
        with contextlib.suppress(ValueError):  # a variable of it that has no value yet
            attributes |= inspect.getclosurevars(app).nonlocals
    return attributes


def _kind_by_signature(app: object) -> Kind | None:
    if not callable(app):
        raise TypeError(f"{describe(app)} is not an app: it can't be called{_hint(app)}")
    if isinstance(app, type):
        return _kind_of_class(app)
    signature = _signature(app)
    if signature is None:  # some callables written in C
        return None
    if is_async(app):
        if _takes(signature, 3):
            return "asgi"
        raise TypeError(f"{describe(app)} is not an app: it is async and doesn't take (scope, receive, send)")
    if getattr(app, "_asgi_double_callable", False) is True:  # the mark of asgiref.compatibility
        raise _asgi_2(app)
    wsgi, asgi = _takes(signature, 2), _takes(signature, 3)
    named = _kind_by_names(signature)
    if not (wsgi or asgi) or (named is None and _takes(signature, 0) and not _takes(signature, 32)):
        raise _no_app(app, signature)
    if wsgi and asgi:
        return named
    return "wsgi" if wsgi else "asgi"


def _kind_of_class(app: type) -> Kind | None:
    """A class is an app where each instance is a response: PEP 3333's AppClass, Starlette's HTTPEndpoint.

    Where a ``__new__`` or a metaclass decides what a call gives, that may be a response as well, and nothing shows it.
    """
    signature = _signature(app)
    if signature is not None:
        named = _kind_by_names(signature)
        if _takes(signature, 2) and (named == "wsgi" or hasattr(app, "__iter__")):
            return "wsgi"
        if _takes(signature, 3) and (named == "asgi" or hasattr(app, "__await__")):
            return "asgi"
        if _takes(signature, 1) and not _takes(signature, 0) and "scope" in signature.parameters:
            raise _asgi_2(app)
        decides = inspect.isfunction(app.__new__) or inspect.isfunction(type(app).__call__)
        # A singleton's takes anything, and nothing as well.
        if decides and (_takes(signature, 2) or _takes(signature, 3)) and not _takes(signature, 0):
            return None
    raise TypeError(
        f"{describe(app)} is not an app: an instance of it may be; write {app.__qualname__}(...){_hint(app)}"
    )


def _kind_by_names(signature: inspect.Signature) -> Kind | None:
    names = {
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind is not parameter.KEYWORD_ONLY
    }
    if names & _ENVIRON_NAMES:
        return "wsgi"
    if names & _SCOPE_NAMES:
        return "asgi"
    return None


def _no_app(app: object, signature: inspect.Signature) -> TypeError:
    if hint := _hint(app):
        return TypeError(f"{describe(app)} is not an app{hint}")
    if _takes(signature, 0):
        name = getattr(app, "__qualname__", "f")
        return TypeError(
            f"{describe(app)} is not an app: it takes no arguments; if it makes one, write {name}()"
        )
    if _takes(signature, 1) and "scope" in signature.parameters:
        return _asgi_2(app)
    return TypeError(
        f"{describe(app)} is not an app: it takes {signature}, "
        "neither (environ, start_response) nor (scope, receive, send)"
    )


def _hint(app: object) -> str:
    of = app if isinstance(app, type) else type(app)
    hints = (_HINTS.get(base.__module__.partition(".")[0]) for base in of.__mro__)
    hint = next(filter(None, hints), None)
    return f"; {hint}" if hint else ""


def _asgi_2(app: object) -> TypeError:
    return TypeError(
        f"{describe(app)} is an ASGI 2 app, called with the scope alone; "
        "asgiref.compatibility.guarantee_single_callable makes it ASGI 3"
    )


def is_both(app: object) -> bool:
    """Whether ``app`` is an ASGI app and a WSGI app at once, as ``Dispatcher`` is; ``guess_kind`` takes it for ASGI."""
    return getattr(type(app), "_bridge_both_kinds", False) is True


def is_async(app: object) -> bool:
    """Whether ``app`` is a coroutine function, or an instance whose ``__call__`` is one."""
    if inspect.isclass(app):
        return False
    # Looked up on the instance: there are middlewares that set it in __init__.
    return iscoroutinefunction(app) or iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004 - the method


def _signature(app: Any) -> inspect.Signature | None:
    """Of what is called, unless that takes anything: then of what it wraps (functools.wraps), which may say more.

    A decorator that makes an app of one kind of one of the other kind may use functools.wraps, too.
    """
    try:
        own = inspect.signature(app, follow_wrapped=False)
        return inspect.signature(app) if _takes(own, 32) else own
    except ValueError:
        return None
    except TypeError:  # the class has only a slot for __call__
        return inspect.signature(app.__call__)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def describe(value: object) -> str:
    """A short description, such as "an object of class 'Flask'"; never a repr, which may be a page long."""
    if isinstance(value, functools.partial):
        return f"a partial of {describe(value.func)}"
    if inspect.isclass(value):
        return f"the class {value.__qualname__!r}"
    if inspect.ismodule(value):
        return f"the module {value.__name__!r}"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__qualname__', value.__name__)!r}"
    return f"an object of class {type(value).__qualname__!r}"
