"""What a client sends much of costs in proportion, and no more: headers, cookies, parameters, proxies, path segments.

Counted are calls of functions, not seconds. ``tests/mapping/test_linear.py`` has the fields of requests and responses,
``tests/mapping/test_environ.py`` the bytes of equal fields, ``tests/mapping/test_learnt.py`` what is kept of their
names.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bridge import Dispatcher
from bridge.cli.proxy import Trusted
from bridge.mapping.environ import build_environ
from bridge.mapping.headers import parse_content_length
from bridge.mapping.prefixes import split_path, under_prefix
from bridge.mapping.scope import build_scope
from tests.mapping.test_linear import calls_of
from tests.support.asgi import http_scope
from tests.support.wsgi import Answer, environ_for
from tests.support.wsgi_apps import hello

FEW, MANY = 50, 5000


def cookies(count: int) -> Callable[[], object]:
    fields = [(b"cookie", b"name-%d=value" % number) for number in range(count)]
    return lambda: build_environ(http_scope(headers=fields))


def pairs_of_a_cookie(count: int) -> Callable[[], object]:
    value = "; ".join(f"name-{number}=value" for number in range(count))
    return lambda: (
        build_environ(http_scope(headers=[(b"cookie", value.encode())])),
        build_scope(environ_for(HTTP_COOKIE=value), {}),
    )


def parameters(count: int) -> Callable[[], object]:
    query = "&".join(f"name-{number}=value" for number in range(count))
    return lambda: (
        build_environ(http_scope(query=query.encode())),
        build_scope(environ_for(query=query), {}),
    )


def segments(count: int) -> Callable[[], object]:
    path = "/a" * count + "/" * count + "/.." * count + "\xe9" * count
    scope = http_scope(path=path, raw_path=path.encode(), root_path="/a")
    site = Dispatcher({"/a": hello, "/": hello})

    def act() -> None:
        under_prefix(scope, "/a", *split_path(scope))
        build_environ(scope)
        build_scope(environ_for(path), {})
        site(environ_for(path), Answer().start_response)

    return act


def proxies(count: int) -> Callable[[], object]:
    header = ", ".join(f"10.0.{number // 256 % 256}.{number % 256}:80" for number in range(count))
    trusted = Trusted("10.0.0.0/8,192.168.0.0/16")
    return lambda: trusted.client(header)


def lengths(count: int) -> Callable[[], object]:
    return lambda: parse_content_length({"CONTENT_LENGTH": ",".join(["5"] * count)})


def names_that_are_none(count: int) -> Callable[[], object]:
    headers = [(b"x-%d" % number, b"") for number in range(count)] + [(b"x y", b"")]

    def act() -> None:
        with pytest.raises(ValueError, match="field name"):
            build_environ(http_scope(headers=headers))

    return act


@pytest.mark.parametrize(
    "flood", [cookies, pairs_of_a_cookie, parameters, segments, proxies, lengths, names_that_are_none]
)
def test_it_costs_in_proportion(flood: Callable[[int], Callable[[], Any]]) -> None:
    few, many = flood(FEW), flood(MANY)
    few()  # what is learnt once
    many()
    assert calls_of(many) <= calls_of(few) * MANY / FEW + 100
