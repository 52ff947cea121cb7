"""A request with thousands of fields, cookies or parameters, on real servers: refused, or served in proportion.

A server that receives more than it wishes to process has to answer with 4xx: RFC 9110, section 5.4; of the target, RFC
9112, section 3. gunicorn does by default. What reaches the bridge costs it a few steps each. Counted are its calls of
functions, not seconds.
"""

import json
from collections.abc import Callable

import pytest

from tests.conftest import ServerPool
from tests.support.raw import RawConnection, RawResponse
from tests.support.servers import SERVERS, RunningServer

APPS = "tests.integration.apps.flooded"
FEW, MANY = 40, 3000
#: So much of it is gunicorn told to take; it takes 100 fields, 8190 bytes in one, and 4094 in the target.
UNLIMITED = "--limit-request-fields 32768 --limit-request-field_size 65536 --limit-request-line 0"
#: Calls for a field whose name was not seen before; one that is known takes two.
CALLS_EACH = 12


def fields(count: int) -> tuple[str, list[str]]:
    return "/", [f"X-F-{number}: v" for number in range(count)]


def cookies(count: int) -> tuple[str, list[str]]:
    return "/", ["Cookie: a=b"] * count


def pairs(count: int) -> tuple[str, list[str]]:
    return "/", ["Cookie: " + "; ".join(f"a{number}=b" for number in range(count))]


def parameters(count: int) -> tuple[str, list[str]]:
    return "/?" + "&".join(f"a{number}=b" for number in range(count)), []


FLOODS = {"fields": fields, "cookies": cookies, "pairs": pairs, "parameters": parameters}
#: What the app counts of each.
COUNTED = {"fields": "fields", "cookies": "pairs", "pairs": "pairs", "parameters": "parameters"}

floods = pytest.mark.parametrize("flood", FLOODS)


def ask(server: RunningServer, made: tuple[str, list[str]]) -> RawResponse:
    target, headers = made
    lines = [f"GET {target} HTTP/1.1", "Host: test", "Connection: close", *headers, "", ""]
    with RawConnection(server.connect()) as connection:
        return connection.request("\r\n".join(lines).encode())


@pytest.fixture(
    params=[
        *(("uvicorn-h11", ""), ("uvicorn-httptools", "")),
        *(("gunicorn-sync", "request"), ("gunicorn-gthread", "request"), ("gunicorn-gthread", "shared")),
    ],
    ids="-".join,
)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    name, loop = request.param
    environ = {"LOOP": loop, "GUNICORN_CMD_ARGS": UNLIMITED} if loop else {}
    return server_pool.get(name, f"{APPS}:{SERVERS[name].interface}", environ)


@floods
def test_what_is_let_through_costs_a_few_steps_each(server: RunningServer, flood: str) -> None:
    calls = {}
    for count in (FEW, MANY):
        made: Callable[[int], tuple[str, list[str]]] = FLOODS[flood]
        ask(server, made(count))  # names are learnt once
        response = ask(server, made(count))
        assert (response.status, response.error) == (200, "")
        assert json.loads(response.body)[COUNTED[flood]] == count
        calls[count] = int(response.header("x-calls") or 0)
    assert calls[FEW] > 0
    assert calls[MANY] - calls[FEW] <= CALLS_EACH * (MANY - FEW)


@floods
def test_gunicorn_refuses_it_by_itself(server_pool: ServerPool, flood: str) -> None:
    """And serves the next client."""
    server = server_pool.get("gunicorn-gthread", f"{APPS}:wsgi")
    assert ask(server, FLOODS[flood](MANY)).status in {400, 414, 431}
    response = ask(server, FLOODS[flood](FEW))
    assert (response.status, json.loads(response.body)[COUNTED[flood]]) == (200, FEW)
