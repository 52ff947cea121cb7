"""The routes of an app, by what its framework keeps of them: Flask and Quart, Django, Starlette and FastAPI, Litestar,
Bottle, and what else has a list ``routes``; a Dispatcher's parts, each under its prefix.

No framework is imported here: an app of one has imported it.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ..dispatch.dispatcher import Dispatcher, Mount
from .model import Route

__all__ = ["allowed_host", "fill", "routes_of"]

# Where middleware of the field keeps the app that it wraps.
_INNER = (
    "app",
    "application",
    "wsgi_app",
    "asgi_app",
    "_app",
    "wrapped_app",
    "server",
    "__wrapped__",
    "func",
)
_DEEPEST = 16
_UUID = "00000000-0000-0000-0000-000000000001"
#: What fills a parameter, by the name of its type.
_VALUES = {"int": "1", "integer": "1", "float": "1.5", "number": "1.5", "uuid": _UUID, "path": "a/b"}
#: ``<int:name>`` and ``<name>`` of Flask and Django, ``{name:int}`` and ``{name}`` of Starlette.
_PARAMETER = re.compile(r"<(?:(?P<flask>[^:<>]+):)?[^<>]+>|\{[^{}:]+(?::(?P<starlette>[^{}]+))?\}")


def routes_of(app: object, prefix: str = "") -> list[Route]:
    """Return the routes of the app, or of the app that it wraps; empty where nothing is known of its framework."""
    return list(_routes(app, prefix, _DEEPEST))


def _routes(app: Any, prefix: str, depth: int) -> Iterator[Route]:
    if depth == 0 or app is None:
        return
    if isinstance(app, Dispatcher):
        for at, mounted in app.mounts.items():
            for part in mounted if isinstance(mounted, list | tuple) else [mounted]:
                inner = part.app if isinstance(part, Mount) else part
                yield from _routes(inner, prefix + at.rstrip("/"), depth - 1)
    elif hasattr(app, "url_map") and hasattr(app.url_map, "iter_rules"):
        yield from _flask(app, prefix)
    elif hasattr(app, "resolve_request") or "django.core.handlers" in getattr(type(app), "__module__", ""):
        yield from _django(prefix)
    elif isinstance(getattr(app, "routes", None), list | tuple) and not any(
        isinstance(route, str)  # Dash has a list of names there, and a Flask app beside it
        for route in app.routes
    ):
        yield from _starlette(app.routes, prefix, depth)
        if callable(openapi := getattr(app, "openapi", None)):
            yield from _openapi(openapi, prefix)
    else:
        for name in _INNER:
            inner = getattr(app, "__dict__", {}).get(name)
            if callable(inner):
                yield from _routes(inner, prefix, depth - 1)
                return
        if hasattr(app, "__self__"):  # a method of the app, as Flask's wsgi_app in a middleware
            yield from _routes(app.__self__, prefix, depth - 1)


def fill(path: str) -> str:
    """A path with a value for each of its parameters, in the form in which it goes over the wire."""

    def value(match: re.Match[str]) -> str:
        kind = (match["flask"] or match["starlette"] or "").partition("(")[0].strip()
        return _VALUES.get(kind, "x")

    return quote(_PARAMETER.sub(value, path), safe="/:@!$&'()*+,;=-._~%")


def _flask(app: Any, prefix: str) -> Iterator[Route]:
    for rule in app.url_map.iter_rules():
        methods = tuple(sorted(rule.methods or {"GET"}))
        yield Route(
            path=prefix + fill(rule.rule), methods=methods, websocket=bool(getattr(rule, "websocket", False))
        )


def _django(prefix: str) -> Iterator[Route]:
    django = sys.modules["django.urls"]
    yield from _django_patterns(django.get_resolver().url_patterns, f"{prefix}/")


def _django_patterns(patterns: Any, prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        path = str(pattern.pattern)
        if hasattr(pattern.pattern, "_regex") and not hasattr(pattern.pattern, "_route"):
            path = _simple(path)
        if hasattr(pattern, "url_patterns"):
            yield from _django_patterns(pattern.url_patterns, prefix + path)
        else:
            view = getattr(pattern.callback, "view_class", None)
            names = getattr(view, "http_method_names", ["get", "head", "options"])
            methods = [name.upper() for name in names if view is None or hasattr(view, name)]
            yield Route(path=fill(prefix + path), methods=tuple(methods))


def _simple(regex: str) -> str:
    """A regular expression of Django's ``re_path`` as a path: each group is a parameter."""
    path = re.sub(
        r"\((?:\?P<\w+>)?(?P<inside>[^()]*)\)",
        lambda m: "1" if r"\d" in m["inside"] or "0-9" in m["inside"] else "x",
        regex,
    )
    return re.sub(r"[\^$\\?]", "", path)


def _starlette(routes: Any, prefix: str, depth: int) -> Iterator[Route]:
    for route in _one_by_one(routes):
        path = getattr(route, "path", None) or getattr(route, "rule", None)  # Bottle's name for it
        if not isinstance(path, str):
            continue
        name = type(route).__name__
        if "WebSocket" in name or "Websocket" in name:
            yield Route(path=prefix + fill(path), websocket=True)
        elif isinstance(inner := getattr(route, "routes", None), list | tuple) and inner:
            yield from _starlette(inner, prefix + path, depth - 1)
        elif name == "Mount":
            yield from _routes(route.app, prefix + path, depth - 1)
        else:
            methods = getattr(route, "methods", None) or {getattr(route, "method", "GET")}
            yield Route(path=prefix + fill(path), methods=tuple(sorted(methods)))


def _one_by_one(routes: Any) -> Iterator[Any]:
    """The routes, with those of a router that FastAPI has included; newer releases keep it as one, with its prefix."""
    for route in routes:
        if not callable(included := getattr(route, "effective_route_contexts", None)):
            yield route
            continue
        for context in included():
            # A WebSocket's route is made anew for it, one of HTTP is described by it.
            yield context if context.path else context.starlette_route


def _openapi(openapi: Any, prefix: str) -> Iterator[Route]:
    """The operations of a schema, where they have examples of their parameters."""
    for path, operations in openapi().get("paths", {}).items():
        for method, operation in operations.items():
            if not isinstance(operation, Mapping):
                continue
            values, query = _examples(operation.get("parameters", ()))
            if not values and not query:
                continue
            for name, value in values.items():
                path = path.replace(f"{{{name}}}", quote(value))
            filled = fill(path)
            yield Route(path=prefix + filled + (f"?{query}" if query else ""), methods=(method.upper(),))


def _examples(parameters: Any) -> tuple[dict[str, str], str]:
    values: dict[str, str] = {}
    query: list[str] = []
    for parameter in parameters:
        schema = parameter.get("schema", {})
        example = parameter.get(
            "example", schema.get("example", schema.get("default", schema.get("minimum")))
        )
        if example is None and isinstance(examples := schema.get("examples"), list) and examples:
            example = examples[0]
        if parameter.get("in") == "path":
            values[parameter["name"]] = str(
                example if example is not None else _VALUES.get(schema.get("type"), "x")
            )
        elif parameter.get("in") == "query" and (example is not None or parameter.get("required")):
            shown = example if example is not None else _VALUES.get(schema.get("type"), "x")
            query.append(f"{quote(parameter['name'])}={quote(str(shown))}")
    return values, "&".join(query)


def allowed_host() -> str:
    """A host that the app answers to: Django has a list of them; elsewhere localhost."""
    if (settings := sys.modules.get("django.conf")) is None:
        return "localhost"
    conf = settings.settings
    if not conf.configured:
        return "localhost"
    allowed = list(conf.ALLOWED_HOSTS)
    if (not allowed and conf.DEBUG) or {"*", "localhost", ".localhost"} & set(allowed):
        return "localhost"
    return next((host.lstrip(".") for host in allowed), "localhost")
