"""The same app behind bridge and natively answers a table of raw requests alike.

Behind bridge on uvicorn and granian, natively behind gunicorn and waitress: each pair is compared by status,
headers, body and the environ that the app saw. What differs is listed in ``raw_differences`` with its reason.
A difference that is not listed fails, and so does a listed one that does not occur.
"""

import itertools

import pytest

from tests.conftest import ServerPool
from tests.integration.raw_answers import Answer, ask, skip_older_parsers, unlike
from tests.integration.raw_differences import DIFFERENCES
from tests.integration.raw_requests import REQUESTS
from tests.support.faults import hold

BRIDGED = {"uvicorn": "uvicorn-h11", "granian": "granian"}
NATIVE = {"gunicorn": "gunicorn-gthread", "waitress": "waitress"}
APP, BRIDGED_APP = "tests.integration.apps.echo:app", "tests.integration.apps.echo_bridged:app"


@pytest.fixture(scope="module")
def answers(server_pool: ServerPool) -> dict[str, dict[str, Answer]]:
    """Return server -> request -> answer, for the whole table."""
    running = {name: server_pool.get(kind, BRIDGED_APP) for name, kind in BRIDGED.items()}
    running |= {name: server_pool.get(kind, APP) for name, kind in NATIVE.items()}
    return {
        name: {case: ask(server, raw) for case, raw in REQUESTS.items()} for name, server in running.items()
    }


def test_the_table_is_large() -> None:
    assert len(set(REQUESTS.values())) >= 200


@pytest.mark.parametrize(("bridged", "native"), list(itertools.product(BRIDGED, NATIVE)))
def test_bridged_and_native_answer_alike(
    bridged: str, native: str, answers: dict[str, dict[str, Answer]]
) -> None:
    skip_older_parsers(bridged, native)
    listed = [difference for difference in DIFFERENCES if difference.is_between(bridged, native)]
    new, gone = unlike(answers[bridged], answers[native], listed)
    assert not new, f"not listed, {bridged} with bridge / {native} alone:{new}"
    assert not gone, (
        f"listed for {bridged} and {native}, and does not occur; end the rows, by versions:{gone}"
    )


@pytest.mark.parametrize("bridged", BRIDGED)
def test_no_request_breaks_the_server(bridged: str, answers: dict[str, dict[str, Answer]]) -> None:
    statuses = {case: answer["status"] for case, answer in answers[bridged].items()}
    assert not {case for case, status in statuses.items() if status in ("broken", "hangs")}
    # Where the app did not.
    errors = {case for case, status in statuses.items() if status == "rejected with 500"}
    hold("garbage in place of a chunk's size", BRIDGED[bridged], errors, right=set())
