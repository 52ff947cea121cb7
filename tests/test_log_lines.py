"""Each log line of the package, read from its source: what a client sends can't forge another one.

A line break in a path, printed by ``%s``, begins a new line of the log. So ``%s`` is for what the package or the app's
author wrote, which is listed here; anything else is printed by ``%r``. The same holds for the text of an error, which
frameworks log.
"""

import ast
import asyncio
import logging
import re
from pathlib import Path

import pytest
from flask import Flask, request

import bridge
from tests.support.served import Served
from tests.support.websockets import connect, disconnect

PACKAGE = Path(bridge.__file__).parent
CALLS = {"debug", "info", "warning", "error", "exception", "critical", "log_app_error"}
#: Expressions that hold no client's text: names of requests (``request_name()`` and ``scope_name()`` escape), numbers,
#: and our own words.
OURS = {
    "request",
    "name",
    "names",
    "self._name()",
    "request_name(*self._request)",
    "_REMEDY",
    "self._remedy",
    "library",
    "what",
    "what_follows",
    "tasks[task].name",
    "self._label",
    "event",
    "silence",
    "advice",
    "SHUTDOWN_LIMIT",
    "END_LIMIT",
    "_LIMIT",
    "_JOIN",
    "_STUCK",
    "limit",
    "self.shutdown_timeout",
    # Of the app, or of its author.
    "error",
    "first",
    "why",
    "self._foreign or repr(exc)",
    "', '.join(missing)",
    "'a request' if count == 1 else f'{count} requests'",
    "'a request' if left == 1 else f'{left} requests'",
}


def calls() -> list[tuple[str, ast.Call]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            logs = not isinstance(called, ast.Attribute) or ast.unparse(called.value) == "logger"
            if name in CALLS and logs:
                found.append((f"{path.stem}:{node.lineno}", node))
    return found


def unsafe(call: ast.Call) -> list[str]:
    """What is wrong with a log call."""
    first = call.args[0]
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return [] if ast.unparse(first) == "message" else ["its message is put together, not given arguments"]
    codes = re.findall(r"%(?:\.\d+)?([a-zA-Z%])", first.value)
    codes = [code for code in codes if code != "%"]
    arguments = [ast.unparse(argument) for argument in call.args[1:]]
    if len(codes) != len(arguments):
        return [f"{len(codes)} places, {len(arguments)} arguments"]
    return [
        f"%s of {argument}"
        for code, argument in zip(codes, arguments, strict=True)
        if code == "s" and argument not in OURS and not argument.startswith(("request_name(", "scope_name("))
    ]


def test_the_search_finds_the_calls() -> None:
    assert len(calls()) > 40
    assert {"warning", "error", "exception", "debug", "info"} <= {
        call.func.attr for _, call in calls() if isinstance(call.func, ast.Attribute)
    }


@pytest.mark.parametrize(("where", "call"), calls(), ids=[where for where, _ in calls()])
def test_no_line_can_be_forged(where: str, call: ast.Call) -> None:
    assert unsafe(call) == []


def test_what_is_unsafe_is_found() -> None:
    def of(text: str) -> list[str]:
        node = ast.parse(text, mode="eval").body
        assert isinstance(node, ast.Call)
        return unsafe(node)

    assert of('logger.warning("refused %s", scope.get("path"))') == ["%s of scope.get('path')"]
    assert of('logger.warning("refused %r", scope.get("path"))') == []
    assert of('logger.warning(f"refused {path}")')
    assert of('logger.warning("refused " + path)')
    assert of('logger.warning("%s %s", *self._request)')


@pytest.mark.parametrize("broken", ["\n", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K"])
@pytest.mark.usefixtures("no_bridge_threads")
def test_no_close_of_a_websocket_forges_a_line(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """RFC 6455, section 7.1.6: its reason is any text of the client's. Flask logs the error that a view lets pass."""
    app = Flask(__name__)

    @app.route("/", websocket=True)
    def echo() -> str:
        while True:
            request.environ["wsgi.websocket"].receive()

    async def main() -> None:
        async with Served(app) as adapter, connect(adapter) as client:
            await client.wait_for("websocket.accept")
            client.feed(disconnect(1000, f"bye{broken}1970-01-01 FORGED"))

    asyncio.run(main())
    (record,) = (each for each in caplog.records if each.name == app.name)
    lines = logging.Formatter().format(record).splitlines()
    assert "bye" in lines[-1]
    assert "FORGED" in lines[-1]
    assert "\x1b" not in lines[-1]
