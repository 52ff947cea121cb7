"""What the mapping costs grows with the number of header fields, and no faster: a client chooses how many there are."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from bridge.mapping.environ import build_environ
from bridge.mapping.headers import response_head, start_of_response
from bridge.mapping.scope import build_scope
from tests.support.asgi import http_scope
from tests.support.wsgi import environ_for


def calls_of(function: Callable[[], object]) -> int:
    """How many functions are called, those of C as well."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    # What it finds is not of this function.
    gc.disable()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def to_scope(names: list[str]) -> Callable[[], object]:
    environ = environ_for() | {f"HTTP_{name.upper().replace('-', '_')}": "value" for name in names}
    return lambda: build_scope(environ, {})


def to_environ(names: list[str]) -> Callable[[], object]:
    scope = http_scope(headers=[(name.encode(), b"value") for name in names])
    return lambda: build_environ(scope)


def to_message(names: list[str]) -> Callable[[], object]:
    headers = [(name, "value") for name in names]
    return lambda: start_of_response("200 OK", headers)


def to_head(names: list[str]) -> Callable[[], object]:
    headers = [(name.encode(), b"value") for name in names]
    return lambda: response_head(200, headers)


@pytest.mark.parametrize(
    ("way", "made_up", "known"),
    [(to_scope, 15, 4), (to_environ, 12, 3), (to_message, 15, 6), (to_head, 15, 6)],
)
@pytest.mark.parametrize("fields", [1, 30, 300, 3000])
def test_a_field_costs_a_few_calls_however_many_there_are(
    way: Callable[[list[str]], Callable[[], object]], made_up: int, known: int, fields: int
) -> None:
    """More for names that are seen for the first time, and for more of them than are kept."""
    way([])()  # what every request has is learnt once
    function = way([f"x-{way.__name__}-{fields}-{number}" for number in range(fields)])
    assert calls_of(function) <= 60 + made_up * fields
    # The cache may have been full just then, and have been emptied.
    again = min(calls_of(function), calls_of(function))
    assert again <= 60 + (known if fields <= 30 else made_up) * fields
