"""Options of an adapter that is not there."""

from typing import TYPE_CHECKING

import pytest

from bridge.cli.errors import UsageError
from bridge.cli.servers import SERVERS
from bridge.cli.target import AppKind
from bridge.cli.unused import refuse_unused

if TYPE_CHECKING:
    from bridge.kind import Kind


@pytest.mark.parametrize(
    ("option", "server", "interface", "kinds", "says"),
    [
        (
            "loop",
            "uvicorn",
            "asgi",
            None,
            (
                "--loop is for an ASGI app on a WSGI server; uvicorn is an ASGI server; uvicorn's own goes "
                "behind --: -- --loop"
            ),
        ),
        (
            "lifespan",
            "hypercorn",
            "asgi",
            None,
            "--lifespan is for an ASGI app on a WSGI server; hypercorn is an ASGI server",
        ),
        (
            "backlog",
            "gunicorn",
            "wsgi",
            None,
            (
                "--backlog is for a WSGI app on an ASGI server; gunicorn is a WSGI server; gunicorn's own goes "
                "behind --: -- --backlog"
            ),
        ),
        (
            "max_body_size",
            "waitress",
            "wsgi",
            None,
            "--max-body-size is for a WSGI app on an ASGI server; waitress is a WSGI server",
        ),
        (
            "request_body",
            "daphne",
            "asgi",
            ["asgi"],
            (
                "--request-body: x:app is an ASGI app, which daphne calls itself; the option is for "
                "WsgiToAsgi, which is not needed"
            ),
        ),
        (
            "loop",
            "gunicorn",
            "wsgi",
            ["wsgi"],
            "--loop: x:app is a WSGI app, which gunicorn calls itself; the option is for AsgiToWsgi",
        ),
        (
            "loop",
            "gunicorn",
            "wsgi",
            ["both"],
            "--loop: a Dispatcher has its own; AsgiToWsgi(app, loop=...) in it says it",
        ),
        (
            "threads",
            "granian",
            "asgi",
            ["asgi"],
            (
                "--threads: granian runs an ASGI app on its event loop, not in threads; the option is for WSGI "
                "apps, and for gunicorn and waitress"
            ),
        ),
        (
            "threads",
            "uvicorn",
            "asgi",
            ["both"],
            "--threads: a Dispatcher has its own; WsgiToAsgi(app, threads=N) in it says how many",
        ),
    ],
)
def test_refused(option: str, server: str, interface: "Kind", kinds: list[AppKind] | None, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_unused([option], SERVERS[server], interface, kinds, "x:app")
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("options", "server", "interface", "kinds"),
    [
        (["max_body_size", "threads", "sendfile"], "uvicorn", "asgi", ["wsgi"]),
        (["max_body_size", "threads"], "uvicorn", "asgi", ["asgi", "wsgi"]),
        (["max_body_size", "threads", "sendfile"], "uvicorn", "asgi", None),
        (["loop", "lifespan", "sendfile"], "waitress", "wsgi", ["asgi"]),
        (["threads"], "gunicorn", "wsgi", ["wsgi"]),
        (["loop", "sendfile"], "wsgiref", "wsgi", None),
    ],
)
def test_taken(options: list[str], server: str, interface: "Kind", kinds: list[AppKind] | None) -> None:
    refuse_unused(options, SERVERS[server], interface, kinds, "x:app")
