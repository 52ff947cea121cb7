"""What the first lines say of an app, and of its streams."""

from typing import Any

import pytest

from bridge.cli.asked import MountPoint
from bridge.cli.meaning import lines
from bridge.cli.target import AppKind, Target

HOLDS = "each request, and so each stream, holds"
AS_IT_IS = "as it is: the server's event loop runs it, and streams hold no thread"


@pytest.mark.parametrize(
    ("fields", "kind", "line"),
    [
        ({"interface": "asgi"}, "asgi", f"ASGI app x:app, {AS_IT_IS}"),
        ({"interface": "asgi"}, "both", "WSGI and ASGI app x:app, as it is"),
        ({"interface": "asgi"}, "wsgi", f"WSGI app x:app, in WsgiToAsgi(app): {HOLDS} one of 40 threads"),
        (
            {"interface": "asgi", "to_asgi": {"threads": 1, "request_body": "stream"}},
            "wsgi",
            f"WSGI app x:app, in WsgiToAsgi(app, threads=1, request_body='stream'): {HOLDS} one of 1 thread",
        ),
        ({"interface": "wsgi"}, "wsgi", f"WSGI app x:app, as it is: {HOLDS} a thread of the server's"),
        ({"interface": "wsgi", "threads": 4}, "wsgi", f"WSGI app x:app, as it is: {HOLDS} one of 4 threads"),
        (
            {"interface": "wsgi", "threads": 8},
            "asgi",
            f"ASGI app x:app, in AsgiToWsgi(app): an event loop for each request; {HOLDS} one of 8 threads",
        ),
        (
            {"interface": "wsgi", "threads": 1, "to_wsgi": {"loop": "shared"}},
            "asgi",
            (
                "ASGI app x:app, in AsgiToWsgi(app, loop='shared'): one event loop for all requests; "
                "one request at a time, so that a stream stops all others"
            ),
        ),
    ],
)
def test_one_app(fields: dict[str, Any], kind: AppKind, line: str) -> None:
    assert lines(Target(app="x:app", **fields), [kind]) == [line]


def test_mounts() -> None:
    mounts = (
        MountPoint(prefix="/new", app="x:app", fallback=True),
        MountPoint(prefix="/", app="y:app"),
        MountPoint(prefix="/", app="z:app"),
    )
    turn = "; where it has nothing, the next one is asked"
    assert lines(Target(mounts=mounts, interface="asgi"), ["asgi", "asgi", "wsgi"]) == [
        f"/new: ASGI app x:app, {AS_IT_IS}{turn}",
        f"/: ASGI app y:app, {AS_IT_IS}{turn}",
        f"/: WSGI app z:app, in WsgiToAsgi(app): {HOLDS} one of 40 threads",
    ]
