"""The same ASGI app answers the table of raw requests on uvicorn and, behind bridge, on WSGI servers alike.

What differs is listed in ``raw_differences_wsgi`` with its reason. A difference that is not listed fails, and
so does a listed one that does not occur.
"""

import itertools

import pytest

from tests.conftest import ServerPool
from tests.integration.raw_answers import Answer, Answers, ask, skip_older_parsers, unlike
from tests.integration.raw_differences_wsgi import DIFFERENCES
from tests.integration.raw_requests import REQUESTS

APP = "tests.integration.apps.wsgi_echo"
BRIDGED = {"gunicorn": "gunicorn-gthread", "waitress": "waitress", "cheroot": "cheroot"}
NATIVE = {"h11": "uvicorn-h11", "httptools": "uvicorn-httptools"}


@pytest.fixture(scope="module")
def answers(server_pool: ServerPool) -> dict[str, dict[str, Answer]]:
    """Return server -> request -> answer, for the whole table."""
    running = {name: server_pool.get(kind, f"{APP}:app") for name, kind in BRIDGED.items()}
    running |= {name: server_pool.get(kind, f"{APP}:asgi_app") for name, kind in NATIVE.items()}
    running["gunicorn sync"] = server_pool.get("gunicorn-sync", f"{APP}:app")
    return {
        name: {case: ask(server, raw, "scope") for case, raw in REQUESTS.items()}
        for name, server in running.items()
    }


@pytest.mark.parametrize(("bridged", "native"), list(itertools.product(BRIDGED, NATIVE)))
def test_bridged_and_native_answer_alike(bridged: str, native: str, answers: dict[str, Answers]) -> None:
    skip_older_parsers(bridged)
    listed = [difference for difference in DIFFERENCES if difference.is_between(bridged, native)]
    new, gone = unlike(answers[bridged], answers[native], listed)
    assert not new, f"not listed, {bridged} with bridge / uvicorn with {native} alone:{new}"
    assert not gone, (
        f"listed for {bridged} and {native}, and does not occur; end the rows, by versions:{gone}"
    )


def test_both_kinds_of_gunicorns_workers_answer_alike(answers: dict[str, Answers]) -> None:
    assert answers["gunicorn sync"] == answers["gunicorn"]


@pytest.mark.parametrize("bridged", BRIDGED)
def test_no_request_breaks_the_server(bridged: str, answers: dict[str, Answers]) -> None:
    skip_older_parsers(bridged)
    statuses = {case: answer["status"] for case, answer in answers[bridged].items()}
    assert not {case for case, status in statuses.items() if status in ("broken", "hangs")}
    errors = {case for case, status in statuses.items() if status == "rejected with 500"}
    # Here the app is at fault: it sends more than its Content-Length.
    assert errors == {"answer length-too-small"}
