"""Finding an app by its name, and telling WSGI from ASGI by looking at it.

Used by the command line, by ``Dispatcher``, and by the adapters, each of which refuses the other's apps. This module
imports neither adapter and never calls an app: the only code of the user's that it runs is what importing a module and
calling a named factory runs.
"""

import ast
import contextlib
import difflib
import functools
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from asgiref.sync import iscoroutinefunction

from bridge.errors import BridgeError

__all__ = [
    "AppNotFoundError",
    "Kind",
    "UnknownKindError",
    "find_app",
    "guess_kind",
    "is_async",
    "is_both",
    "refuse_kind",
]

Kind: TypeAlias = Literal["wsgi", "asgi"]

_DEFAULT_NAMES = ("app", "application")

_ENVIRON_NAMES = frozenset({"environ", "env", "start_response"})
_SCOPE_NAMES = frozenset({"scope", "receive", "send"})

# Where middleware of the field keeps the app that it passes its arguments on to.
_INNER_NAMES = ("app", "application", "wsgi_app", "asgi_app", "_app", "__wrapped__")


class AppNotFoundError(BridgeError, ImportError):
    """The name leads to no app; the message is one line that says where the way ended."""


class UnknownKindError(TypeError):
    """It can be called, but its signature fits WSGI as well as ASGI."""


# --- finding ------------------------------------------------------------------------------------------------


def find_app(spec: str) -> object:
    """Return what ``spec`` names, after importing the module that it is in.

    ``spec`` is ``place:expression``, or ``place`` alone for its ``app`` or ``application``. The place is a
    module or the path of a ``.py`` file. The expression is a name, attributes of it (``site.app``) and calls
    with literal arguments (``create_app("test")``).

    Raises ``AppNotFoundError`` for a module, file or attribute that isn't there, and for an expression that
    is none. What the user's own code raises while it is imported or called is passed on as it is.
    """
    place, expression = _split(spec)
    module = _import_file(place) if _is_path(place) else _import_module(place)
    if expression is not None:
        return _evaluate(_parse(expression), module)
    for name in _DEFAULT_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    raise AppNotFoundError(f"{place!r} has neither 'app' nor 'application'; name it, as in {place}:name")


def _split(spec: str) -> tuple[str, str | None]:
    start = 2 if spec[1:2] == ":" and spec[2:3] in {"/", "\\"} else 0  # the drive of a Windows path
    colon = spec.find(":", start)
    place, expression = (spec, None) if colon < 0 else (spec[:colon], spec[colon + 1 :])
    if not place:
        raise AppNotFoundError(f"{spec!r} names no module; write module:app")
    return place, expression or None


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or os.sep in place


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise AppNotFoundError(f"{name!r} is neither the name of a module nor the path of a .py file")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # Raised for another name, it is about an import inside the user's module, and the user's to see.
        if exc.name != name and not name.startswith(f"{exc.name}."):
            raise
        parent, _, last = name.rpartition(".")
        hint = f"; write {parent}:{last}" if hasattr(sys.modules.get(parent), last) else ""
        raise AppNotFoundError(f"{exc.msg}{hint}") from exc


def _import_file(place: str) -> ModuleType:
    """Import a file under the name that its package gives it, so that its relative imports work."""
    path = Path(place).resolve()
    if not path.is_file():
        source = path.with_name(f"{path.name}.py")
        hint = f"; did you mean {place}.py?" if source.is_file() else ""
        raise AppNotFoundError(f"there is no file {place!r}{hint}")
    parts = [] if path.stem == "__init__" else [path.stem]
    root = path.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    name = ".".join(parts)
    module = importlib.import_module(name)
    # A file called calendar.py, for one: the module of that name is another one, already imported or earlier
    # on the path.
    found = getattr(module, "__file__", None)
    if found is None or not Path(found).samefile(path):
        raise AppNotFoundError(
            f"the module {name!r} is {found or 'built in'}, not {place!r}; rename the file"
        )
    return module


def _parse(expression: str) -> ast.expr:
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise _no_expression(expression) from None


def _evaluate(node: ast.expr, module: ModuleType) -> object:
    """Names, attributes and calls with literal arguments; anything else belongs into a module."""
    match node:
        case ast.Name(id=name):
            return _attribute(module, name)
        case ast.Attribute(value=value, attr=name):
            return _attribute(_evaluate(value, module), name)
        case ast.Call(func=function, args=args, keywords=keywords):
            factory = _evaluate(function, module)
            try:
                positional = [ast.literal_eval(arg) for arg in args]
                named = {word.arg: ast.literal_eval(word.value) for word in keywords if word.arg is not None}
            except ValueError:
                raise _no_expression(ast.unparse(node)) from None
            if len(named) != len(keywords):
                raise _no_expression(ast.unparse(node))
            if not callable(factory):
                raise AppNotFoundError(
                    f"{ast.unparse(function)!r} can't be called: it is {_article(factory)}"
                )
            made: object = factory(*positional, **named)
            if inspect.iscoroutine(made):
                made.close()
                raise AppNotFoundError(
                    f"{ast.unparse(function)!r} is a coroutine function; a factory is called, not awaited"
                )
            return made
        case _:
            raise _no_expression(ast.unparse(node))


def _attribute(owner: object, name: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError as exc:
        close = difflib.get_close_matches(name, dir(owner), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise AppNotFoundError(f"{exc}{hint}") from exc


def _no_expression(expression: str) -> AppNotFoundError:
    return AppNotFoundError(
        f"{expression!r} is not a name, a dotted attribute or a call with literal arguments"
    )


# --- telling WSGI from ASGI ---------------------------------------------------------------------------------


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
        f"{_article(app)} can be called as WSGI and as ASGI, and nothing in it says which it is"
    )


def refuse_kind(app: object, kind: Kind, adapter: str) -> None:
    """Raise ``TypeError`` where the signature of ``app`` says that it is of this kind, which ``adapter`` does not take.

    What the signature does not say is left to the caller, who knows.
    """
    try:
        shown = None if is_both(app) else _kind_by_signature(app)
    except TypeError:
        return
    if shown == kind:
        this, other = ("a WSGI", "an ASGI") if kind == "wsgi" else ("an ASGI", "a WSGI")
        raise TypeError(
            f"{_article(app)} is {this} app; {adapter} takes {other} app, for a server of the other kind"
        )


def _wrapped_by(app: object) -> Iterator[object]:
    """The app inside ``app``, the one inside that, and so on; up to a depth, for one may contain itself."""
    for _ in range(32):
        attributes = dict(getattr(app, "__dict__", {}))
        if inspect.isfunction(app):  # a closure, such as wsgiref.validate makes
            with contextlib.suppress(ValueError):  # a variable of it that has no value yet
                attributes |= inspect.getclosurevars(app).nonlocals
        inner = next((attributes[name] for name in _INNER_NAMES if callable(attributes.get(name))), None)
        if inner is None:
            return
        yield inner
        app = inner


def _kind_by_signature(app: object) -> Kind | None:
    if not callable(app):
        raise TypeError(f"{_article(app)} is not an app: it can't be called")
    if isinstance(app, type):
        return _kind_of_class(app)
    signature = _signature(app)
    if signature is None:  # some callables written in C
        return None
    if is_async(app):
        if _takes(signature, 3):
            return "asgi"
        raise TypeError(f"{_article(app)} is not an app: it is async and doesn't take (scope, receive, send)")
    if getattr(app, "_asgi_double_callable", False):  # the mark of asgiref.compatibility
        raise _asgi_2(app)
    if not _takes(signature, 2) and not _takes(signature, 3):
        raise _no_app(app, signature)
    if _takes(signature, 2) and _takes(signature, 3):
        return _kind_by_names(signature)
    return "wsgi" if _takes(signature, 2) else "asgi"


def _kind_of_class(app: type) -> Kind:
    """A class is an app where each instance is a response: PEP 3333's AppClass, Starlette's HTTPEndpoint."""
    signature = _signature(app)
    if signature is not None and _takes(signature, 2) and hasattr(app, "__iter__"):
        return "wsgi"
    if signature is not None and _takes(signature, 3) and hasattr(app, "__await__"):
        return "asgi"
    if (
        signature is not None
        and _takes(signature, 1)
        and not _takes(signature, 0)
        and "scope" in signature.parameters
    ):
        raise _asgi_2(app)
    raise TypeError(f"{_article(app)} is not an app: an instance of it may be")


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
    if _takes(signature, 0):
        return TypeError(
            f"{_article(app)} is not an app: it takes no arguments (write a factory with its call, f())"
        )
    if _takes(signature, 1) and "scope" in signature.parameters:
        return _asgi_2(app)
    return TypeError(
        f"{_article(app)} is not an app: it takes {signature}, "
        "neither (environ, start_response) nor (scope, receive, send)"
    )


def _asgi_2(app: object) -> TypeError:
    return TypeError(
        f"{_article(app)} is an ASGI 2 app, called with the scope alone; "
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
    try:
        return inspect.signature(app)
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


def _article(value: object) -> str:
    """A short description, such as "an object of class 'Flask'"; never a repr, which may be a page long."""
    if isinstance(value, functools.partial):
        return f"a partial of {_article(value.func)}"
    if inspect.isclass(value):
        return f"the class {value.__qualname__!r}"
    if inspect.ismodule(value):
        return f"the module {value.__name__!r}"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__qualname__', value.__name__)!r}"
    return f"an object of class {type(value).__qualname__!r}"
