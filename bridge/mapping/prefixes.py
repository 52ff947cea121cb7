"""Path prefixes: which of them a path is under, and what an app mounted there gets to see. Pure functions.

A prefix matches at the boundary of a segment: ``/api`` is a prefix of ``/api`` and of ``/api/x``, not of ``/apix``. It
is compared with the decoded path, as the frameworks do: ``/%61pi`` is ``/api``. Each app gets its place in the form
that its specification has. ASGI: ``root_path`` is the prefix, ``path`` and ``raw_path`` include it. WSGI:
``SCRIPT_NAME`` is the prefix, ``PATH_INFO`` is what follows.

What servers do to ``path`` when they have a root path of their own is told in ``mapping.environ``.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote

from ..types import Environ, Scope
from .environ import cut_root, path_of_target, raw_path_of_target

__all__ = [
    "PrefixTable",
    "is_under",
    "normal_prefix",
    "split_environ",
    "split_path",
    "under_prefix",
]

_T = TypeVar("_T")


def normal_prefix(prefix: object) -> str:
    """``prefix`` without a slash at its end: ``""`` for ``"/"``, which all paths are under.

    Raises:
        TypeError, ValueError: it is no prefix; the message says why.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"the prefix {prefix!r} is no string; a prefix is a path, such as '/api'")
    if not prefix.startswith("/"):
        raise ValueError(f"the prefix {prefix!r} does not begin with a slash: write {'/' + prefix!r}")
    normal = prefix.removesuffix("/")
    if "?" in normal or "#" in normal:
        raise ValueError(
            f"the prefix {prefix!r} has a query or a fragment; a prefix is the beginning of a path"
        )
    if unquote(normal) != normal:
        raise ValueError(
            f"the prefix {prefix!r} is percent-encoded; it is compared with decoded paths: "
            f"write {unquote(normal)!r}"
        )
    if not {"", ".", ".."}.isdisjoint(normal.split("/")[1:]):
        raise ValueError(
            f"the prefix {prefix!r} has a segment that is empty or dots, which clients don't send"
        )
    return normal


def is_under(prefix: str, path: str) -> bool:
    """Whether ``path`` is ``prefix`` or goes on with a segment of its own."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}


class PrefixTable(Generic[_T]):
    """Finds the longest prefix of a path: one look-up for each segment, up to the length of the longest prefix.

    What follows the longest prefix is not looked at, so that a path of 60,000 slashes costs no more than another.
    """

    __slots__ = ("_entries", "_longest", "_root")

    def __init__(self, entries: Mapping[str, _T]) -> None:
        self._entries = dict(entries)
        self._root = self._entries.get("")
        self._longest = max(map(len, self._entries), default=0)

    def find(self, path: str) -> _T | None:
        """The entry of the longest prefix that ``path`` is under."""
        end = len(path)
        if end > self._longest:
            # The last place, up to the length of the longest prefix, where a segment ends.
            end = path.rfind("/", 0, self._longest + 1)
        while end > 0:
            entry = self._entries.get(path[:end])
            if entry is not None:
                return entry
            end = path.rfind("/", 0, end)
        return self._root


def split_path(scope: Scope) -> tuple[str, str]:
    """``root_path`` in its normal form, and the rest of the path: without it, where the server has put it in front."""
    root_path: str = scope.get("root_path") or ""
    if root_path:
        return cut_root(root_path, _path(scope))
    return "", _path(scope)


def under_prefix(scope: Scope, prefix: str, root_path: str, rest: str) -> dict[str, Any]:
    """A copy of ``scope`` for an app at ``prefix``; ``root_path`` and ``rest`` are those of ``split_path()``."""
    mounted = {**scope, "root_path": root_path + prefix}
    path = root_path + rest
    if path != scope["path"]:
        # root_path was not in front, or in another form, or the target is an absolute URL: the app gets what the
        # specification has.
        mounted["path"] = path
        if scope.get("raw_path"):
            mounted["raw_path"] = _raw_path(scope, root_path, rest)
    return mounted


def _raw_path(scope: Scope, root_path: str, rest: str) -> bytes:
    raw_path: bytes = scope["raw_path"]
    if _has_root_in_front(scope):
        given = scope["root_path"].encode()
        if raw_path.startswith(given + b"/"):
            return quote(root_path).encode() + raw_path[len(given) :]
    known = raw_path_of_target(raw_path)
    if known is None:
        return quote(root_path + rest).encode()
    return quote(root_path).encode() + known if _path(scope) == rest else known


def _has_root_in_front(scope: Scope) -> bool:
    """Whether ``path`` begins with ``root_path`` as it is written, which may be without a slash at its beginning."""
    root_path: str | None = scope.get("root_path")
    return bool(root_path) and scope["path"].startswith(f"{root_path}/")


def _path(scope: Scope) -> str:
    """The path; empty where the request target has none ("OPTIONS *")."""
    path: str = scope["path"]
    if path[:1] == "/" or _has_root_in_front(scope):
        return path
    try:
        return path_of_target(path, scope.get("raw_path"))
    except ValueError:
        return ""


def split_environ(environ: Environ) -> tuple[str, str]:
    """``SCRIPT_NAME`` and ``PATH_INFO``, the first one without a slash at its end.

    With one there gunicorn and granian take a slash too many from ``PATH_INFO``: it is the same path.
    """
    script_name: str = environ.get("SCRIPT_NAME", "")
    path_info: str = environ.get("PATH_INFO", "")
    if script_name[-1:] == "/":
        script_name = script_name.rstrip("/")
        if path_info[:1] != "/":
            path_info = f"/{path_info}"
    return script_name, path_info
