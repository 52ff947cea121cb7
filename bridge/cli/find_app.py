"""Finding an app by its name, for the command line.

The only code of the user's that runs here is what importing a module and calling a named factory runs.
"""

import ast
import difflib
import importlib
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType, TracebackType

from ..errors import BridgeError
from ..kind import describe
from .folders import no_file, not_found, search_first

__all__ = ["APP_NAMES", "FACTORY_NAMES", "AppNotFoundError", "find_app", "user_frames"]

APP_NAMES = ("app", "application")
FACTORY_NAMES = ("create_app", "make_app")


class AppNotFoundError(BridgeError, ImportError):
    """The name leads to no app; the message is one line that says where the way ended."""


def find_app(spec: str, *, factory: bool = False, app_dir: str = "") -> object:
    """Return what ``spec`` names, after importing the module that it is in.

    Modules are looked for in ``app_dir``, if it isn't empty, then in the current folder, then on Python's path.

    ``spec`` is ``place:expression``, or ``place`` alone for its ``app`` or ``application``, or for what its
    ``create_app()`` or ``make_app()`` returns. The place is a module or the path of a ``.py`` file. The expression is
    a name, attributes of it (``site.app``) and calls with literal arguments (``create_app("test")``). With ``factory``
    what it names is called, without arguments.

    Raises ``AppNotFoundError`` for a module, file or attribute that isn't there, and for an expression that
    is none. What the user's own code raises while it is imported or called is passed on as it is.
    """
    place, expression = _split(spec)
    folders = search_first(app_dir)
    module = _import_file(place, folders) if _is_path(place) else _import_module(place, folders)
    if expression is not None:
        node = _parse(expression)
        found = _evaluate(node, module)
        return _call(ast.unparse(node), found, [], {}) if factory else found
    names = () if factory else APP_NAMES
    for name in names:
        if hasattr(module, name):
            return getattr(module, name)
    for name in FACTORY_NAMES:
        if hasattr(module, name):
            return _call(name, getattr(module, name), [], {})
    raise AppNotFoundError(
        f"{place!r} has neither {', '.join(map(repr, (*names, *FACTORY_NAMES[:-1])))} nor {FACTORY_NAMES[-1]!r}; "
        f"name it, as in {place}:name"
    )


def _split(spec: str) -> tuple[str, str | None]:
    start = 2 if spec[1:2] == ":" and spec[2:3] in {"/", "\\"} else 0  # the drive of a Windows path
    colon = spec.find(":", start)
    place, expression = (spec, None) if colon < 0 else (spec[:colon], spec[colon + 1 :])
    if not place:
        raise AppNotFoundError(f"{spec!r} names no module; write module:app")
    return place, expression or None


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or os.sep in place


def _import_module(name: str, folders: list[str]) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise AppNotFoundError(f"{name!r} is neither the name of a module nor the path of a .py file")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # It may be about an import inside the user's module, and then it is the user's to see: of another name, or of
        # this one in the package's own code.
        missing = exc.name
        if missing is None or not f"{name}.".startswith(f"{missing}.") or user_frames(exc) is not None:
            raise
        parent, _, last = name.rpartition(".")
        if hasattr(sys.modules.get(parent), last):
            raise AppNotFoundError(f"{exc.msg}; write {parent}:{last}") from exc
        raise AppNotFoundError(f"{exc.msg}{not_found(name, missing, folders)}") from exc


def _import_file(place: str, folders: list[str]) -> ModuleType:
    """Import a file under the name that its package gives it, so that its relative imports work."""
    path = Path(place).resolve()
    if not path.is_file():
        raise AppNotFoundError(f"there is no file {place!r}{no_file(place, folders)}")
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
            try:
                positional = [ast.literal_eval(arg) for arg in args]
                named = {word.arg: ast.literal_eval(word.value) for word in keywords if word.arg is not None}
            except (ValueError, TypeError):  # the latter is about a list as a key
                raise _no_expression(ast.unparse(node)) from None
            if len(named) != len(keywords):
                raise _no_expression(ast.unparse(node))
            return _call(ast.unparse(function), _evaluate(function, module), positional, named)
        case _:
            raise _no_expression(ast.unparse(node))


def _call(name: str, factory: object, args: list[object], named: dict[str, object]) -> object:
    if not callable(factory):
        raise AppNotFoundError(f"{name!r} can't be called: it is {describe(factory)}")
    try:
        made: object = factory(*args, **named)
    except TypeError as exc:
        if exc.__traceback__ is None or exc.__traceback__.tb_next is not None:
            raise  # of the factory's own code
        raise AppNotFoundError(
            f"{exc}; write them as in create_app('test'), or, if {name} is the app itself, neither () nor --factory"
        ) from None
    if inspect.iscoroutine(made):
        made.close()
        raise AppNotFoundError(f"{name!r} is a coroutine function; a factory is called, not awaited")
    return made


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


def user_frames(exc: BaseException) -> TracebackType | None:
    """The traceback without its beginning in bridge and the import system; None if it all happened there."""
    own = Path(__file__).parents[1]
    frames = exc.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if (
            own not in Path(file).parents
            and file != importlib.__file__
            and not file.startswith("<frozen importlib")
        ):
            return frames
        frames = frames.tb_next
    return None
