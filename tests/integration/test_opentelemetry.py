"""OpenTelemetry's instrumentations on real servers: through the bridge each request has the spans that it has at home.

One trace, which is the client's; one span of a server; and below it what the view does. ``tests/test_opentelemetry.py``
has what is around the adapters, and who is outside of whom.
"""

from typing import Any

import pytest

from tests.conftest import StartServer
from tests.support.faults import installed
from tests.support.servers import poll
from tests.support.spans import traceparent

APPS = "tests.integration.apps.traced"


def below(server: str, *, streamed: int = 0) -> list[list[str]]:
    return [[server], *[[server, "streamed"]] * streamed, [server, "work"]]


#: A span of a stream that is made when its view has ended: Django's own span has ended with that, and so has Flask's
#: from Flask 3.1 on.
ALONE = [["nothing", "streamed"]]

DJANGO = {
    "/whole": (below("server django"), 0),
    "/chunks": (below("server django"), 2),
    "/awaited": (below("server django"), 0),
}
SITE = {
    "/django/whole": (below("server django"), 0),
    "/django/chunks": (below("server django"), 2),
    "/flask/whole": (below("server flask"), 0),
    "/flask/chunks": (below("server flask"), 2)
    if installed("flask>=3.1")
    else (below("server flask", streamed=2), 0),
    "/fastapi/whole": (below("server asgi"), 0),
    "/fastapi/chunks": (below("server asgi", streamed=2), 0),
}


@pytest.mark.parametrize(
    ("name", "app", "loop", "expected"),
    [
        ("gunicorn-gthread", "django_wsgi", "", DJANGO),
        ("uvicorn-h11", "django_asgi", "", DJANGO),
        ("uvicorn-h11", "django_wsgi_bridged", "", DJANGO),
        ("gunicorn-gthread", "django_asgi_bridged", "request", DJANGO),
        ("gunicorn-gthread", "django_asgi_bridged", "shared", DJANGO),
        ("uvicorn-h11", "site", "", SITE),
        ("gunicorn-gthread", "site", "request", SITE),
        ("gunicorn-gthread", "site", "shared", SITE),
    ],
)
def test_each_request_is_one_trace_with_one_server(
    name: str,
    app: str,
    loop: str,
    expected: dict[str, tuple[list[list[str]], int]],
    start_server: StartServer,
) -> None:
    server = start_server(name, f"{APPS}:{app}", environ={"LOOP": loop or "request"})
    traces: dict[str, list[list[str]]] = {}
    alone = 0
    # Twice: nothing may stay behind on a thread or a loop.
    with server.client() as client:
        for path in (*expected, *expected):
            trace_id = f"{len(traces) + 1:032x}"
            assert client.get(path, headers={"traceparent": traceparent(trace_id)}).content == b"onetwo"
            traces[trace_id], more = expected[path]
            alone += more
        found: dict[str, Any] = {}

        def complete() -> bool:
            # A span of a server ends with the call of the app, which may be after the client has its response.
            found.update(client.get("/spans").json())
            return found.keys() >= traces.keys() and all(
                len(found[trace_id]) >= len(lines) for trace_id, lines in traces.items()
            )

        poll(complete, 20, lambda: str(found))
    assert {trace_id: found.pop(trace_id) for trace_id in traces} == traces
    assert list(found.values()) == [ALONE] * alone
    server.stop()
    assert "Failed to detach context" not in server.log()
