"""structlog's bound contextvars through the bridge: in each log line of their request, and in no other one."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.support.servers import poll

APP = "tests.integration.apps.structured:site"
#: So many threads has the server, or the adapter, for requests, so that of one more there is one that has served.
THREADS = 2


@pytest.mark.parametrize(
    ("name", "loop", "app", "bare", "logger"),
    [
        # A WSGI app on an ASGI server.
        ("uvicorn-h11", "request", "flask", "wsgi", "uvicorn.error"),
        # An ASGI app on a WSGI server.
        ("gunicorn-gthread", "request", "fastapi", "asgi", "gunicorn.error"),
        ("gunicorn-gthread", "shared", "fastapi", "asgi", "gunicorn.error"),
    ],
)
def test_what_a_request_binds_is_in_its_own_lines_alone(
    name: str, loop: str, app: str, bare: str, logger: str, start_server: StartServer
) -> None:
    arguments = ("--threads", str(THREADS)) if name.startswith("gunicorn") else ()
    server = start_server(name, APP, arguments=arguments, environ={"LOOP": loop})

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]

    def told(*events: str, logger: str = "app") -> list[str | None]:
        """The ids in the lines of these events, in their order."""
        return [
            line.get("request_id")
            for line in lines()
            if line["logger"] == logger and (not events or line["event"] in events)
        ]

    def of_errors(logger: str) -> list[str | None]:
        return [
            line.get("request_id")
            for line in lines()
            if line["logger"] == logger
            and line["level"] == "error"
            and "ValueError: kaputt" in line["exception"]
        ]

    with server.client() as client:
        # Two at the same time, each with its own.
        with ThreadPoolExecutor(THREADS) as threads:
            urls = [f"/{app}/meet?id={number}" for number in range(2)]
            assert [answer.status_code for answer in threads.map(client.get, urls)] == [200, 200]
        assert sorted(map(str, told("asked"))) == sorted(map(str, told("met"))) == ["id=0", "id=1"]

        # The bridge's line of an error that no server sees.
        assert client.get(f"/{app}/late?id=late").status_code == 200
        poll(lambda: of_errors("bridge") != [], 20, server.log)
        assert of_errors("bridge") == ["id=late"]

        # The server's line of an error that goes there: in the app's context where that ends with the request. The
        # thread of a WSGI server goes on to the next one.
        assert client.get(f"/{bare}?id=first").status_code == 500
        poll(lambda: of_errors(logger) != [], 20, server.log)
        assert of_errors(logger) == ["id=first" if bare == "wsgi" else None]

        # Nothing is left for others, on whichever thread.
        before = len(told("asked"))
        for _ in range(2 * THREADS):
            assert client.get(f"/{app}/plain").status_code == 200
        poll(lambda: len(told("asked")) == before + 2 * THREADS, 20, server.log)
        assert told("asked")[before:] == [None] * 2 * THREADS
    server.stop()
    with_id = [line for line in lines() if line["logger"] != "app" and "request_id" in line]
    assert len(with_id) == (2 if bare == "wsgi" else 1), (
        "nor are other lines of the server or the bridge theirs"
    )
