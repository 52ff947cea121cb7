"""What the source of the user's modules says of globals that functions write: text in, data out."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Write", "shared_writes"]


@dataclass(frozen=True, slots=True)
class Write:
    """A function writes to the module's global ``name``."""

    name: str
    function: str
    line: int
    what: str
    """"rebound": ``global name``; "changed": an item of it is read and written (``name[key] += 1``)."""


def shared_writes(source: str) -> list[Write]:
    """Return the writes to module globals that are in no ``with`` block: a lock is most likely what one is.

    Only what two threads can lose is looked for: a global that is bound anew, and an item that is changed by what it
    was. ``append()`` and ``cache[key] = value`` are single steps.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    names = set(_bound(tree.body))
    found: list[Write] = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            declared = {
                name for node in _own(function) if isinstance(node, ast.Global) for name in node.names
            }
            local = set(_bound(function.body)) | {
                argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)
            }
            for node in _own(function):
                found += _writes(node, function.name, declared, (names | declared) - (local - declared))
    return found


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, but in no ``with`` block and in no function inside it."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.With | ast.AsyncWith):
            continue
        yield node
        yield from _own(node)


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names that these statements assign to."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _writes(node: ast.AST, function: str, declared: set[str], shared: set[str]) -> Iterator[Write]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Name) and target.id in declared:
            yield Write(target.id, function, target.lineno, "rebound")
        elif (
            isinstance(node, ast.AugAssign)
            and isinstance(target, ast.Subscript | ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id in shared
        ):
            yield Write(target.value.id, function, target.lineno, "changed")
