"""Where options come from: the command line, the variables ``BRIDGE_*``, and ``[tool.bridge.serve]`` in pyproject.toml.

An earlier one of them wins over a later one, option by option. Of options that exclude one another (a port and a Unix
socket, an app and mounts) those of the earliest source that has one hold.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .asked import Asked
from .errors import UsageError
from .options import ADAPTER_OPTIONS, OPTIONS, Option

__all__ = ["Layer", "asked_for", "from_environment", "from_pyproject", "from_words"]

Layer: TypeAlias = dict[str, Any]
"""Option, or ``app``, -> its value. What was not said is not in it."""

# Groups of which one way may be said, each way being one or more options.
_EXCLUSIVE: tuple[tuple[frozenset[str], ...], ...] = (
    (frozenset({"host", "port"}), frozenset({"bind"}), frozenset({"uds"}), frozenset({"fd"})),
    (frozenset({"app", "kind", "factory"}), frozenset({"mount"})),
)


def from_words(said: Mapping[str, Any]) -> Layer:
    """Of the command line, whose words are in ``said``."""
    layer: Layer = {}
    for name, given in said.items():
        if name == "app":
            layer[name] = given
        elif OPTIONS[name].shape == "list":
            layer[name] = tuple(_value(OPTIONS[name], text, OPTIONS[name].flag) for text in given)
        elif isinstance(given, bool):
            layer[name] = given
        else:
            layer[name] = _value(OPTIONS[name], given, OPTIONS[name].flag)
    return layer


def from_environment(environment: Mapping[str, str]) -> Layer:
    """Of the variables ``BRIDGE_*``. An empty one says nothing; mounts are separated by spaces."""
    layer: Layer = {}
    if environment.get("BRIDGE_APP"):
        layer["app"] = environment["BRIDGE_APP"]
    for option in OPTIONS.values():
        text = environment.get(option.variable, "")
        if text:
            layer[option.name] = (
                tuple(_value(option, word, option.variable) for word in text.split())
                if option.shape == "list"
                else _value(option, text, option.variable)
            )
    return layer


def from_pyproject(directory: Path) -> Layer:
    """Of ``[tool.bridge.serve]`` in the ``pyproject.toml`` of the directory; nothing where there is none."""
    file = directory / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        table: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise UsageError(f"pyproject.toml: {exc}") from exc
    for key in ("tool", "bridge", "serve"):
        table = table.get(key, {})
        if not isinstance(table, dict):
            raise UsageError(f"pyproject.toml: {key} is no table")
    layer: Layer = {}
    for key, given in table.items():
        where = f"pyproject.toml: {key}"
        name = key.replace("-", "_")
        if name == "app":
            layer[name] = _text(given, where)
            continue
        if name not in OPTIONS:
            raise UsageError(f"{where} is no option{_nearest(key, (o.flag[2:] for o in OPTIONS.values()))}")
        option = OPTIONS[name]
        if option.shape in {"switch", "pair"}:
            if not isinstance(given, bool):
                raise UsageError(f"{where}: it is true or false, without quotes")
            layer[name] = given
        elif option.shape == "list":
            if not isinstance(given, list):
                raise UsageError(f"{where}: it is a list of texts")
            layer[name] = tuple(_value(option, _text(each, where), where) for each in given)
        else:
            layer[name] = _value(option, _text(given, where), where)
    return layer


def asked_for(layers: Iterable[Layer], extra: tuple[str, ...]) -> Asked:
    """Return what the layers say together, the earlier ones first.

    Raises ``UsageError`` for options of one layer that exclude one another.
    """
    merged: Layer = {}
    for layer in layers:
        for group in _EXCLUSIVE:
            here = [way for way in group if way & layer.keys()]
            before = [way for way in group if way & merged.keys()]
            if len(here) > 1:
                raise UsageError(_contradiction(here, layer))
            if before and before != here:
                layer = {name: value for name, value in layer.items() if not any(name in way for way in here)}
        merged = {**layer, **merged}
    adapter = {name: merged.pop(name) for name in list(merged) if name in ADAPTER_OPTIONS}
    return Asked(**merged, adapter=adapter, extra=extra)


def _contradiction(ways: list[frozenset[str]], layer: Layer) -> str:
    names = [name for name in layer if any(name in way for way in ways)]
    if "mount" in names:
        app = layer.get("app")
        if app is None:
            return (
                "--kind and --factory are for one APP; of mounted apps, WsgiToAsgi(app) or AsgiToWsgi(app) in the "
                "module says it"
            )
        return f"{app} and --mount: say APP, or mount all there is; to mount it too: --mount /={app}"
    flags = [OPTIONS[name].flag for name in names]
    return f"{' and '.join(flags)} contradict each other: say where to listen once"


def _value(option: Option, text: str, where: str) -> Any:
    try:
        return option.value(text)
    except ValueError as exc:
        raise UsageError(f"{where}: {exc}{_nearest(text, option.choices)}") from None


def _text(given: object, where: str) -> str:
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        raise UsageError(f"{where}: it is a text or a number")
    return str(given)


def _nearest(text: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
