"""The folders that an app's module is looked for in: that of ``--app-dir``, then the current one.

They come first when the app is imported, and no earlier: a ``queue.py`` of the user's would stand for Python's own.
"""

import contextlib
import difflib
import os
import pkgutil
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import UsageError

__all__ = ["app_folder", "module_words", "no_file", "not_found", "search_first"]


def app_folder(app_dir: str | None) -> Path:
    """Return the folder that is looked in first. Raises ``UsageError`` if there is none of that name."""
    folder = Path.cwd() if app_dir is None else Path(app_dir).resolve()
    if not folder.is_dir():
        raise UsageError(f"--app-dir: there is no directory {app_dir!r}")
    return folder


def search_first(app_dir: str) -> list[str]:
    """Have modules looked for in ``app_dir``, where it isn't empty, and in the current folder; return these.

    First of all, as ``python -m`` has it: PYTHONSAFEPATH leaves the current folder out, and granian puts one before.
    """
    folders = list(dict.fromkeys(filter(None, (app_dir, str(Path.cwd())))))
    if sys.path[: len(folders)] != folders:
        sys.path[:0] = folders
    return folders


def module_words(name: str) -> list[str]:
    """Return the words after ``python`` that run a module, which finds others where this process finds them.

    ``-m`` puts the current folder first, as the command ``bridge`` does not. Where this process was itself run by
    ``-m``, the bridge may be in that folder alone.
    """
    here = sys.path[:1] in ([""], [str(Path.cwd())])
    return ["-m" if here else "-Pm", name]


def not_found(name: str, missing: str, folders: list[str]) -> str:
    """Return where a module was looked for, and where it may be.

    Args:
        name: the module that was asked for.
        missing: of its name, the part that there is no module for: ``shop`` or ``shop.wsgi``, of ``shop.wsgi``.
        folders: what ``search_first`` has returned.
    """
    package, _, last = missing.rpartition(".")
    searched = list(dict.fromkeys(getattr(sys.modules.get(package), "__path__", ()))) if package else folders
    if not searched:  # in a module that is no package, as Python has said
        return ""
    where = f" in {' and '.join(searched)}" + ("" if package else ", nor among what is installed")
    if (other := _elsewhere(name, folders)) is not None:
        return f"{where}; it is in {other}: say --app-dir {shlex.quote(other)}"
    near = difflib.get_close_matches(last, [module.name for module in pkgutil.iter_modules(searched)], n=1)
    hint = f"; did you mean {'.'.join(filter(None, (package, *near)))!r}?" if near else ""
    return f"{where}{hint}" + ("" if package else "; --app-dir DIR names another folder to look in")


def no_file(place: str, folders: list[str]) -> str:
    """Return which file may be meant by a path that is none, relative to the current folder; empty: none is like it."""
    path = Path(place)
    meant = [f"{place}.py", *(os.path.relpath(Path(folder, place)) for folder in folders)]
    with contextlib.suppress(OSError):
        files = [each.name for each in path.parent.iterdir() if each.suffix == ".py"]
        meant += [str(path.with_name(near)) for near in difflib.get_close_matches(path.name, files, n=1)]
    return next((f"; did you mean {each}?" for each in meant if Path(each).is_file()), "")


def _elsewhere(name: str, folders: Iterable[str]) -> str | None:
    """A folder beside or around those, such as ``src``, that has the module; as a path from the current one."""
    inner = Path(*name.split("."))
    for folder in folders:
        for near in _around(Path(folder)):
            if (near / inner).with_suffix(".py").is_file() or (near / inner / "__init__.py").is_file():
                return os.path.relpath(near)
    return None


def _around(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] != ".")
    except OSError:  # not to be read
        return
    yield folder.parent
