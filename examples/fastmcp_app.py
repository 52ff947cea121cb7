"""An MCP server, FastMCP's streamable HTTP, under gunicorn's threads, on one event loop for all requests.

Run it from the directory above:

    pip install '.[serve]' fastmcp
    gunicorn --worker-class gthread --threads 8 examples.fastmcp_app:wsgi_app

    fastmcp list http://127.0.0.1:8000/mcp
    fastmcp call http://127.0.0.1:8000/mcp add a=2 b=3
    fastmcp call http://127.0.0.1:8000/mcp countdown start=3

``loop="shared"``, because FastMCP's tasks belong to the loop that its lifespan runs on, and a session lives longer than
the request that began it. Sessions are in the memory of their process, so there is one worker; each open stream of a
client holds one of its threads.
"""

import asyncio

from fastmcp import Context, FastMCP

from bridge import AsgiToWsgi

mcp = FastMCP("Examples of bridge")


@mcp.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@mcp.tool
async def countdown(start: int, context: Context) -> str:
    """Count down, and report each number as it comes."""
    for number in range(start, 0, -1):
        await context.report_progress(start - number, start, f"{number}")
        await asyncio.sleep(0.2)
    return "Lift-off!"


@mcp.tool
async def remember(word: str, context: Context) -> list[str]:
    """Keep a word for the session, if the client's version of the protocol has one; return the words kept."""
    words: list[str] = [*(await context.get_state("words") or []), word]
    await context.set_state("words", words)
    return words


app = mcp.http_app()
wsgi_app = AsgiToWsgi(app, loop="shared", lifespan="on")
