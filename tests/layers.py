"""Who imports whom in the package, read from the import statements themselves.

``python -m tests.layers`` prints it by folder: lines of code, modules, and each folder's imports from the others.
``--drawing`` prints the layers and what each folder is for.
"""

import ast
import functools
import sys
from collections import Counter
from pathlib import Path

import bridge

__all__ = ["LAYERS", "MODULES", "PACKAGE", "circles", "drawing", "imports_of", "reach_of", "unit_of"]

PACKAGE = Path(bridge.__file__).parent

#: From the lowest to the highest; those of one row don't know each other. A unit is a folder, or a module beside them.
LAYERS: list[set[str]] = [
    {"errors", "types", "log"},
    {"kind", "lifespan", "processes"},
    {"mapping", "threads"},
    {"to_asgi", "to_wsgi"},
    {"dispatch", "compat", "metrics"},
    {"__init__"},
    {"cli"},
    {"check"},
    {"__main__"},
]


def _name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


#: Each module by its dotted name below the package, a folder's own as ``folder.__init__``, and where it is.
MODULES = {_name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def unit_of(module: str) -> str:
    """The folder, or the module beside the folders, that ``module`` belongs to."""
    return module.split(".", maxsplit=1)[0]


@functools.cache
def imports_of(module: str) -> set[str]:
    """The modules of bridge that ``module`` imports, anywhere in it, those of a function too."""
    package = module.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root, _, rest = alias.name.partition(".")
                if root == "bridge":
                    found.add(_resolve(rest.split(".") if rest else []))
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            if node.level:
                parts = package[: len(package) - node.level + 1] + parts
            elif parts[:1] == ["bridge"]:
                parts = parts[1:]
            else:
                continue
            for alias in node.names:
                found.add(_resolve([*parts, alias.name]))
    return found - {module}


def _resolve(parts: list[str]) -> str:
    """The module that ``parts`` name, which may go on with the name of something in it."""
    for end in range(len(parts), -1, -1):
        head = ".".join(parts[:end])
        if head in MODULES:
            return head
        package = f"{head}.__init__" if head else "__init__"
        if package in MODULES:
            return package
    raise AssertionError(parts)


@functools.cache
def reach_of(module: str) -> set[str]:
    """All that is imported with ``module``, over any number of steps."""
    seen: set[str] = set()
    todo = {module}
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= imports_of(name) - seen
    return seen - {module}


def circles() -> list[str]:
    """The modules that import themselves, over any number of steps."""
    return [name for name in MODULES if any(name in reach_of(other) for other in imports_of(name))]


def drawing() -> str:
    """The layers as a drawing of text, from the lowest to the highest, with what each folder is for."""
    lines = []
    for row in LAYERS:
        for unit in sorted(row - {"__init__", "__main__"}):
            folder = f"{unit}.__init__" in MODULES
            text = (
                ast.get_docstring(ast.parse(MODULES[f"{unit}.__init__" if folder else unit].read_text()))
                or ""
            )
            what = text.split("\n\n")[0].replace("\n", " ").rstrip(".").replace("``", "")
            lines.append(f"{unit + '/' * folder:12} {what}")
        if row - {"__init__", "__main__"}:
            lines.append("")
    return "\n".join(lines).rstrip()


def main() -> None:
    """Print the folders, from the lowest to the highest."""
    if sys.argv[1:] == ["--drawing"]:
        print(drawing())
        return
    pairs = Counter(
        (unit_of(module), unit_of(other))
        for module in MODULES
        for other in imports_of(module)
        if unit_of(module) != unit_of(other)
    )
    for row in LAYERS:
        for unit in sorted(row):
            members = [name for name in MODULES if unit_of(name) == unit]
            lines = sum(len(MODULES[name].read_text().splitlines()) for name in members)
            inside = sum(unit_of(other) == unit for name in members for other in imports_of(name))
            others = ", ".join(f"{to} {count}" for (of, to), count in sorted(pairs.items()) if of == unit)
            print(f"{unit:9} {len(members):3} modules {lines:6} lines {inside:3} imports inside; {others}")
    print(f"{len(MODULES)} modules, {sum(pairs.values())} imports between folders")


if __name__ == "__main__":
    main()
