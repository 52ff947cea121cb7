"""Starting ``apps/cases`` with options of ``WsgiToAsgi``, and asking it what came of a request."""

import itertools
import json
import time
from typing import Any

import httpx

from tests.conftest import ServerPool
from tests.support.servers import RunningServer

__all__ = ["CASES", "facts", "new_token", "options", "report", "settle", "start_cases"]

CASES = "tests.integration.apps.cases:app"
# Seconds; bridge.to_asgi.watch.DELAY is 0.005, and a thread may have to wait for its turn.
LISTENING = 0.2
_tokens = itertools.count()


def options(**values: object) -> dict[str, str]:
    """Return the environment that gives ``WsgiToAsgi`` these keyword arguments."""
    return {"BRIDGE_OPTIONS": json.dumps(values)}


def start_cases(pool: ServerPool, name: str, **values: object) -> RunningServer:
    """Return the server with the cases app and these options; tests of one module share it."""
    return pool.get(name, CASES, options(**values))


def new_token() -> str:
    """Return a name for one exchange that no other has."""
    return f"t{next(_tokens)}"


def report(client: httpx.Client, token: str) -> dict[str, Any]:
    """Return what the app knows of a response, once that has been closed."""
    return _json(client, f"/report/{token}")


def facts(client: httpx.Client, token: str) -> dict[str, Any]:
    """Return what the app knows of a response at this moment."""
    return _json(client, f"/facts/{token}")


def settle(client: httpx.Client) -> None:
    """Let the server's loop turn, until it and the bridge must have noticed what clients did before.

    On loopback that is in the server's sockets already, and each request takes several turns of the loop.
    The bridge begins to listen for a client's leaving some milliseconds into a response, so it takes longer.
    """
    end = time.monotonic() + LISTENING
    while time.monotonic() < end:
        client.get("/threads/x").raise_for_status()


def _json(client: httpx.Client, path: str) -> dict[str, Any]:
    response = client.get(path)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
