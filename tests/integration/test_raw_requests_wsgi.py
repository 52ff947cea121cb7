"""The same ASGI app answers the table of raw requests on uvicorn and, behind bridge, on gunicorn alike.

What differs is listed in ``raw_differences_wsgi`` with its reason. A difference that is not listed fails, and
so does a listed one that does not occur.
"""

import pytest

from tests.conftest import ServerPool
from tests.integration.raw_answers import Answers, ask, unlike
from tests.integration.raw_differences_wsgi import DIFFERENCES
from tests.integration.raw_requests import REQUESTS

APP = "tests.integration.apps.wsgi_echo"


@pytest.fixture(scope="module")
def native(server_pool: ServerPool) -> Answers:
    server = server_pool.get("uvicorn-h11", f"{APP}:asgi_app")
    return {case: ask(server, raw, "scope") for case, raw in REQUESTS.items()}


@pytest.fixture(scope="module")
def bridged(server_pool: ServerPool) -> Answers:
    server = server_pool.get("gunicorn-gthread", f"{APP}:app")
    return {case: ask(server, raw, "scope") for case, raw in REQUESTS.items()}


def test_bridged_and_native_answer_alike(bridged: Answers, native: Answers) -> None:
    new, gone = unlike(bridged, native, DIFFERENCES)
    assert not new, f"not listed, gunicorn with bridge / uvicorn alone:{new}"
    assert not gone, f"listed, and does not occur:{gone}"


def test_no_request_breaks_the_server(bridged: Answers) -> None:
    statuses = {case: answer["status"] for case, answer in bridged.items()}
    assert not {case for case, status in statuses.items() if status in ("broken", "hangs")}
    errors = {case for case, status in statuses.items() if status == "rejected with 500"}
    # Here the app is at fault: it sends more than its Content-Length.
    assert errors == {"answer length-too-small"}
