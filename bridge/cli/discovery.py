"""Finding the app where the user names none: by the names that the field gives to files and to what is in them.

Nothing is imported for it. What a file has at its top level is read from its source.
"""

import ast
import re
from pathlib import Path

from ..kind import Kind
from .errors import UsageError
from .find_app import APP_NAMES, FACTORY_NAMES

__all__ = ["discover"]

_FILES = ("app.py", "main.py", "wsgi.py", "asgi.py")


def discover(directory: Path, interface: Kind) -> str:
    """Return where the app in ``directory`` is, as ``find_app`` takes it.

    Args:
        directory: where to look.
        interface: what the server calls; of a Django project that has both, that one is taken.

    Raises ``UsageError`` if there is none.
    """
    for name in _FILES:
        file = directory / name
        if file.is_file() and (expression := _app_in(file)):
            return f"{file.stem}:{expression}"
    if (directory / "manage.py").is_file():
        return _of_django(directory, interface)
    names = f"{', '.join(_FILES[:-1])} or {_FILES[-1]}"
    raise UsageError(
        f"there is no app to be found: say APP (looked for app, application, create_app() and make_app() in {names}, "
        f"and for manage.py, in {directory}; --app-dir DIR names another folder)"
    )


def _app_in(file: Path) -> str | None:
    """The expression for the app in the file; None: there is none, or what is there is no Python."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return None
    names = {name for statement in body for name in _named_by(statement)}
    app = next((name for name in APP_NAMES if name in names), None)
    factory = next((name for name in FACTORY_NAMES if name in names), None)
    return app or (f"{factory}()" if factory else None)


def _named_by(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name for alias in aliases]
        case ast.If(body=body, orelse=orelse) | ast.Try(body=body, orelse=orelse):
            return [name for inner in (*body, *orelse) for name in _named_by(inner)]
    return []


def _of_django(directory: Path, interface: Kind) -> str:
    """The project's application, beside its settings: a Django app is both, each in a module of its own."""
    source = (directory / "manage.py").read_text(encoding="utf-8", errors="replace")
    settings = re.search(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""", source)
    if settings is None:
        raise UsageError(
            "manage.py names no DJANGO_SETTINGS_MODULE: say APP, such as mysite.wsgi:application"
        )
    kinds: tuple[Kind, ...] = ("asgi", "wsgi") if interface == "asgi" else ("wsgi", "asgi")
    # Of mysite.settings and of mysite.settings.production, it is beside mysite/__init__.py.
    package = settings[1]
    while package := package.rpartition(".")[0]:
        place = directory.joinpath(*package.split("."))
        for kind in kinds:
            if (place / f"{kind}.py").is_file():
                return f"{package}.{kind}:application"
    raise UsageError(
        f"there is no wsgi.py and no asgi.py beside {settings[1]}, which manage.py names: say APP"
    )
