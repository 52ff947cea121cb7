"""What FastAPI's tutorial teaches: the same visit to an app on uvicorn, and through the bridge on gunicorn.

Each answer, each header and each log line of the app is the same, in the same order.
"""

import httpx
import pytest

from tests.integration.test_cli_servers import serving
from tests.support.servers import REPOSITORY, RunningServer
from tests.support.visits import Answer, Visit, lines_of_app

APP = "tests.integration.apps.shop_api:app"
SMALL, LARGE = b"a letter\n", bytes(range(256)) * 6_000


def visit(server: RunningServer) -> list[Answer]:
    """Log in, order, read streams, upload; and what is refused."""
    # A connection for each: uvicorn closes one after an error, and a client may have sent the next request by then.
    with server.client(limits=httpx.Limits(max_keepalive_connections=0)) as client:
        visit = Visit(client)
        form = {"username": "zoë", "password": "geheim", "grant_type": "password"}
        visit.ask("POST", "/token", data=form | {"password": "wrong"})
        visit.ask("POST", "/token", data={"username": "zoë"})
        token = visit.ask("POST", "/token", data=form).raise_for_status().json()["access_token"]
        user = {"Authorization": f"Bearer {token}"}
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}, user):
            visit.ask("GET", "/me", headers=headers)
        for things in (["lamp", "Öl"], [], ["air"], {"no": "list"}):
            visit.ask("POST", "/orders", headers=user, json=things)
        visit.ask("POST", "/orders", headers=user, content=b"{")
        visit.ask("GET", "/export", params={"rows": 5_000})
        visit.ask("GET", "/export", params={"rows": 0})
        visit.ask("GET", "/export", params={"rows": "some"})
        visit.ask("GET", "/events", params={"most": 20})
        uploads = [
            ("files", ("groß.txt", SMALL, "text/plain")),
            ("files", ("b.bin", LARGE)),
            ("files", ("c", b"")),
        ]
        visit.ask("POST", "/files", headers=user, files=uploads)
        visit.ask("POST", "/files", files=uploads)
        visit.ask("POST", "/files", headers=user, data={"files": "none"})
        source = visit.ask("GET", "/static/routing.py")
        visit.ask("HEAD", "/static/routing.py")
        visit.ask("GET", "/static/routing.py", headers={"If-None-Match": source.headers["etag"]})
        visit.ask("GET", "/static/routing.py", headers={"Range": "bytes=5-24"})
        visit.ask("GET", "/static/none.py")
        for path in ("/openapi.json", "/docs", "/docs/", "/none"):
            visit.ask("GET", path, follow_redirects=False)
        visit.ask("OPTIONS", "/me")
        visit.ask("DELETE", "/me")
        with client.stream("GET", "/events", headers={"X-Step": "left"}) as response:
            lines = response.iter_lines()
            assert [next(lines) for _ in range(7)][4:] == ["id: 1", "event: tick", "data: 1"]
        server.wait_for_log("SHOP left INFO events end")
        return visit.answers


def seen_on(server: str, *options: str) -> tuple[list[Answer], dict[str, list[str]]]:
    """A visit to the app on this server: what was answered, and what the app has logged, for each step in its order."""
    with serving(APP, server, *options, directory=REPOSITORY) as running:
        answers = visit(running)
        running.stop()  # what comes after a response has been logged then
        log = running.log()
        assert log.count("LookupError: there is none") == 1, "an error is logged once, by the server"
        lines: dict[str, list[str]] = {}
        for line in lines_of_app(log, "SHOP "):
            lines.setdefault(line.split(" ")[1], []).append(line)
    return answers, lines


@pytest.fixture(scope="module")
def at_home() -> tuple[list[Answer], dict[str, list[str]]]:
    return seen_on("uvicorn")


@pytest.mark.parametrize(
    "options",
    [(), ("--threads", "1"), ("--loop", "shared")],
    ids=["gthread", "sync", "shared loop"],
)
def test_a_visit_is_the_same(
    options: tuple[str, ...], at_home: tuple[list[Answer], dict[str, list[str]]]
) -> None:
    answers, lines = seen_on("gunicorn", *options)
    for one, other in zip(at_home[0], answers, strict=True):
        assert other == one
    assert lines == at_home[1]
    assert {200, 201, 304, 400, 401, 404, 405, 410, 422, 500} <= {answer.status for answer in answers}
