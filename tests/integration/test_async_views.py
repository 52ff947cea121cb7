"""Async views of Flask and Django on real ASGI servers: they block, and the server goes on."""

import asyncio

import pytest

from tests.conftest import ServerPool
from tests.support.servers import ASGI_SERVERS, SERVERS, RunningServer

APP = "tests.integration.apps.async_views:app"
# The views call it as urllib can.
PLAIN = [name for name in ASGI_SERVERS if SERVERS[name].http == "1.1" and not SERVERS[name].tls]


@pytest.mark.parametrize("framework", ["flask", "django"])
@pytest.mark.parametrize("name", PLAIN)
def test_async_views_that_block_run_side_by_side(name: str, framework: str, server_pool: ServerPool) -> None:
    """On one loop the first would wait for the others for ever."""
    assert asyncio.run(_four(server_pool.get(name, APP), f"/{framework}/meet")) == ["met"] * 4


@pytest.mark.parametrize("framework", ["flask", "django"])
@pytest.mark.parametrize("name", PLAIN)
def test_an_async_view_calls_its_own_server(name: str, framework: str, server_pool: ServerPool) -> None:
    server = server_pool.get(name, APP)
    assert asyncio.run(_four(server, f"/{framework}/itself")) == ["plain"] * 4
    server.assert_no_traceback()


async def _four(server: RunningServer, path: str) -> list[str]:
    async with server.async_client() as client:
        responses = await asyncio.gather(*(client.get(path) for _ in range(4)))
    return [response.raise_for_status().text for response in responses]
