"""The same app behind bridge and natively answers a table of raw requests alike.

Behind bridge on uvicorn and granian, natively behind gunicorn and waitress: each pair is compared by status,
headers, body and the environ that the app saw. What differs is listed in ``raw_differences`` with its reason.
A difference that is not listed fails, and so does a listed one that does not occur.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import h11
import pytest

from tests.conftest import ServerPool
from tests.integration.raw_differences import DIFFERENCES
from tests.integration.raw_requests import REQUESTS
from tests.support.raw import RawConnection, RawResponse
from tests.support.servers import RunningServer

BRIDGED = {"uvicorn": "uvicorn-h11", "granian": "granian"}
NATIVE = {"gunicorn": "gunicorn-gthread", "waitress": "waitress"}
APP, BRIDGED_APP = "tests.integration.apps.echo:app", "tests.integration.apps.echo_bridged:app"

# What each server adds of its own to any response.
SERVER_HEADERS = {"connection", "date", "keep-alive", "server", "transfer-encoding", "via"}

# One answer: "status", "headers", "body", and "environ:KEY" for each key that the app saw.
Answer: TypeAlias = dict[str, object]


@pytest.fixture(scope="module")
def answers(server_pool: ServerPool) -> dict[str, dict[str, Answer]]:
    """Return server -> request -> answer, for the whole table."""
    running = {name: server_pool.get(kind, BRIDGED_APP) for name, kind in BRIDGED.items()}
    running |= {name: server_pool.get(kind, APP) for name, kind in NATIVE.items()}
    return {
        name: {case: _ask(server, raw) for case, raw in REQUESTS.items()} for name, server in running.items()
    }


def test_the_table_is_large() -> None:
    assert len(set(REQUESTS.values())) >= 200


@pytest.mark.parametrize(("bridged", "native"), list(itertools.product(BRIDGED, NATIVE)))
def test_bridged_and_native_answer_alike(
    bridged: str, native: str, answers: dict[str, dict[str, Answer]]
) -> None:
    seen = {
        (case, field)
        for case in REQUESTS
        for field in _differing(answers[bridged][case], answers[native][case])
    }
    listed = {
        (case, field)
        for difference in DIFFERENCES
        if bridged in difference.bridged and native in difference.native
        for case in difference.requests
        for field in difference.fields
    }
    new = "".join(
        f"\n  {case!r} {field}: {answers[bridged][case].get(field)!r} / {answers[native][case].get(field)!r}"
        for case, field in sorted(seen - listed)
    )
    gone = "".join(f"\n  {case!r} {field}" for case, field in sorted(listed - seen))
    assert not new, f"not listed, {bridged} with bridge / {native} alone:{new}"
    assert not gone, f"listed for {bridged} and {native}, and does not occur:{gone}"


@pytest.mark.parametrize("bridged", BRIDGED)
def test_no_request_breaks_the_server(bridged: str, answers: dict[str, dict[str, Answer]]) -> None:
    statuses = {case: answer["status"] for case, answer in answers[bridged].items()}
    assert not {case for case, status in statuses.items() if status in ("broken", "hangs")}
    errors = {case for case, status in statuses.items() if status == "rejected with 500"}
    if bridged == "granian":
        errors.discard("chunked bad size")  # its own answer: see raw_differences
    assert not errors, f"{bridged} answered 500 where the app did not"


def _differing(left: Answer, right: Answer) -> Iterator[str]:
    if left["status"] != right["status"]:
        # The rest follows from it.
        yield "status"
        return
    yield from (field for field in sorted(left.keys() | right.keys()) if left.get(field) != right.get(field))


def _ask(server: RunningServer, raw: bytes) -> Answer:
    method = "HEAD" if raw.startswith(b"HEAD ") else "GET"
    with RawConnection(server.connect(timeout=10.0)) as connection:
        try:
            response = connection.request(raw, method)
        except TimeoutError:
            return {"status": "hangs"}
        except (h11.RemoteProtocolError, ConnectionError):
            return {"status": "closed without a response"}
    return _describe(response)


def _describe(response: RawResponse) -> Answer:
    if not response.complete:
        return {"status": "broken"}
    sent = response.header("x-app")
    if sent is None:
        # The server's own answer, or the bridge's: its wording is its own.
        return {"status": f"rejected with {response.status}"}
    ignored = SERVER_HEADERS | ({"content-length"} - set(sent.split(",")))
    headers = sorted((name.lower(), value) for name, value in response.headers if name.lower() not in ignored)
    answer: Answer = {"status": f"{response.status} {response.reason}"}
    if ("content-type", "application/json") not in headers or not response.body:
        return answer | {"headers": headers, "body": response.body}
    seen: dict[str, Any] = json.loads(response.body)
    # The length of the body that describes the environ differs where the environ does.
    headers = [(name, value) for name, value in headers if name != "content-length"]
    return answer | {"headers": headers} | {f"environ:{key}": value for key, value in seen.items()}
