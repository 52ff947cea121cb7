"""The FastMCP example, called by FastMCP's own client: its command line, and the library."""

import asyncio
import json

from fastmcp import Client

from tests.conftest import StartServer
from tests.support.examples import Example


def test_its_command_lines(start_server: StartServer) -> None:
    example = Example("fastmcp_app", start_server)
    tools, add, countdown = example.lines
    listed = example.run(tools)
    assert all(
        name in listed for name in ("add(a: int, b: int)", "countdown(start: int)", "remember(word: str)")
    )
    assert json.loads(example.run(add)) == {"result": 5}
    assert json.loads(example.run(countdown)) == {"result": "Lift-off!"}


def test_sessions_progress_and_clients_at_the_same_time(start_server: StartServer) -> None:
    example = Example("fastmcp_app", start_server)

    async def session(words: list[str]) -> None:
        reports: list[str | None] = []

        async def report(progress: float, total: float | None, message: str | None) -> None:
            reports.append(message)

        # The versions of the protocol that have sessions: each request after the first carries the session's id.
        async with Client(f"{example.server.url}/mcp", mode="legacy", timeout=30) as client:
            for number, word in enumerate(words, start=1):
                result = await client.call_tool("remember", {"word": word})
                assert result.data == words[:number]
            result = await client.call_tool("countdown", {"start": 3}, progress_handler=report)
            assert result.data == "Lift-off!"
            assert reports == ["3", "2", "1"]

    async def sessions() -> None:
        await asyncio.gather(session(["one", "two"]), session(["three", "four"]))

    asyncio.run(sessions())
    # The lifespan ends by itself too, with its task group, and leaves no error.
    example.server.stop()
    example.server.assert_no_traceback()
