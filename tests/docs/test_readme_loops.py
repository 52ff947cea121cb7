"""The README's table "Which loop?", row by row, on gunicorn's threads. The app is here too, for the server."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
from fastapi import FastAPI, Request

from bridge import AsgiToWsgi
from tests.conftest import StartServer
from tests.support.servers import RunningServer, poll

HERE = "tests.docs.test_readme_loops"


class State(TypedDict):
    database: sqlite3.Connection
    client: httpx.AsyncClient
    ticks: list[None]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    ticks: list[None] = []

    async def tick() -> None:
        while True:
            ticks.append(None)
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    async with httpx.AsyncClient(base_url=os.environ["UPSTREAM"], trust_env=False) as client:
        # Its connection is kept, and belongs to this loop.
        (await client.get("/")).raise_for_status()
        yield {
            "database": sqlite3.connect(":memory:", check_same_thread=False),
            "client": client,
            "ticks": ticks,
        }
    ticking.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/database")
def database(request: Request) -> int:
    (one,) = request.state.database.execute("SELECT 1").fetchone()
    return int(one)


@app.get("/client")
async def client(request: Request) -> int:
    response: httpx.Response = await request.state.client.get("/")
    return response.status_code


@app.get("/ticks")
async def ticks(request: Request) -> int:
    return len(request.state.ticks)


request_mode = AsgiToWsgi(app)
shared_mode = AsgiToWsgi(app, loop="shared")


def start(start_server: StartServer, attribute: str) -> RunningServer:
    upstream = start_server("gunicorn-gthread", "examples.flask_app:app")
    return start_server("gunicorn-gthread", f"{HERE}:{attribute}", environ={"UPSTREAM": upstream.url})


def test_a_loop_for_each_request(start_server: StartServer) -> None:
    server = start(start_server, "request_mode")
    with server.client() as client:
        before = client.get("/ticks").json()
        assert client.get("/database").json() == 1
        assert client.get("/client").status_code == 500
        server.wait_for_log("AsgiToWsgi(app, loop='shared') has one loop for all")
        # No step of the task since the startup: nobody runs its loop.
        assert client.get("/ticks").json() == before


def test_one_loop_for_all(start_server: StartServer) -> None:
    server = start(start_server, "shared_mode")
    with server.client() as client:
        assert client.get("/database").json() == 1
        assert [client.get("/client").json() for _ in range(3)] == [200] * 3
        before = client.get("/ticks").json()
        poll(lambda: client.get("/ticks").json() > before, 20, lambda: "the lifespan's task does not run")
    server.stop()
    server.assert_no_traceback()
