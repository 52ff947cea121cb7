"""The files of the page on hosting platforms, called as the platforms call them: by their own Python packages, each in
a process of its own.
"""

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.pages import DOCS, Page, blocks
from tests.support.servers import REPOSITORY

BLOCKS = blocks(DOCS / "guides/hosting.md")

#: The runtime of Lambda: it imports the handler once, and calls it with one event after the other.
LAMBDA = """
import importlib, json, sys
handler = importlib.import_module(sys.argv[1]).handler
print(json.dumps([handler(event, None) for event in json.load(sys.stdin)]))
"""

#: The worker of Azure Functions: it finds the function in the app, and awaits it, or calls it in a thread.
AZURE = """
import asyncio, base64, importlib, inspect, json, sys
import azure.functions
app = importlib.import_module(sys.argv[1]).app
(function,) = app.get_functions()
call = function.get_user_function()

async def main():
    answers = []
    for method, path, body in json.load(sys.stdin):
        request = azure.functions.HttpRequest(
            method=method, url=f"https://shop.example{path}", body=base64.b64decode(body),
            headers={"content-type": "application/octet-stream", "content-length": str(len(base64.b64decode(body)))},
        )
        if inspect.iscoroutinefunction(call):
            answer = await call(request, None)
        else:
            answer = await asyncio.to_thread(call, request, None)
        answers.append([answer.status_code, answer.get_body().decode()])
    print(json.dumps(answers))
    if getattr(app, "startup_task_done", False):
        await app.middleware.notify_shutdown()
        app.startup_task_done = False  # else it does it once more, on another loop, when it is dropped

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files, and one that has something to do after its response."""
    for block in BLOCKS:
        if block.title:
            (tmp_path / block.title).write_text(block.text)
    (tmp_path / "after.py").write_text(
        "from apig_wsgi import make_lambda_handler\n"
        "from fastapi import BackgroundTasks, FastAPI\n"
        "from bridge import AsgiToWsgi\n"
        "app, ran = FastAPI(), []\n"
        "@app.get('/')\n"
        "async def index(tasks: BackgroundTasks):\n"
        "    tasks.add_task(ran.append, 'ran')\n"
        "    return ran\n"
        "handler = make_lambda_handler(AsgiToWsgi(app))\n"
    )
    return tmp_path


def called(program: str, module: str, requests: list[Any], folder: Path) -> list[Any]:
    """What the program prints that calls ``module`` with these requests; it ends, and complains of nothing.

    Not each warning is an error: mangum asks for the current event loop in a way that newer versions of Python warn of.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program, module],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}:{REPOSITORY}"},
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Azure's adapter for WSGI forgets close(), and the bridge says so.
    complaints = [line for line in done.stderr.splitlines() if "dropped without close()" not in line]
    assert (done.returncode, complaints) == (0, [])
    answers: list[Any] = json.loads(done.stdout)
    return answers


def gateway_event(method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    """What API Gateway's HTTP API gives to Lambda: version 2.0 of its payload."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "host": "shop.example",
            "content-type": "application/octet-stream",
            "content-length": str(len(body)),
            "x-forwarded-proto": "https",
            "x-forwarded-port": "443",
        },
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7"},
            "stage": "$default",
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def balancer_event(method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    """What an Application Load Balancer gives."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:..."}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {},
        "headers": gateway_event(method, path, body)["headers"],
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


EVENTS = pytest.mark.parametrize("event", [gateway_event, balancer_event])


def body_of(answer: dict[str, Any]) -> str:
    assert answer["statusCode"] == 200, answer
    body: str = answer["body"]
    return base64.b64decode(body).decode() if answer["isBase64Encoded"] else body


@EVENTS
def test_mangum_calls_a_flask_app(event: Any, folder: Path) -> None:
    answers = called(
        LAMBDA, "with_mangum", [event("GET", "/"), event("GET", "/"), event("GET", "/no")], folder
    )
    assert [body_of(answer) for answer in answers[:2]] == ["the old page\n"] * 2
    assert answers[2]["statusCode"] == 404


@EVENTS
def test_apig_wsgi_calls_a_fastapi_app(event: Any, folder: Path) -> None:
    events = [event("GET", "/"), event("POST", "/size", b"x" * 100_000), event("GET", "/")]
    answers = [json.loads(body_of(answer)) for answer in called(LAMBDA, "with_apig_wsgi", events, folder)]
    assert answers == [{"hello": "world"}, {"size": 100_000}, {"hello": "world"}]


def test_what_comes_after_a_response_has_run_when_the_handler_returns(folder: Path) -> None:
    answers = called(LAMBDA, "after", [gateway_event("GET", "/")] * 2, folder)
    assert [json.loads(body_of(answer)) for answer in answers] == [[], ["ran"]]


@pytest.mark.parametrize("kind", ["AsgiFunctionApp", "WsgiFunctionApp"])
def test_azure_functions_calls_a_dispatcher(kind: str, folder: Path) -> None:
    path = folder / "function_app.py"
    path.write_text(path.read_text().replace("AsgiFunctionApp", kind))
    size = base64.b64encode(b"x" * 100_000).decode()
    requests = [["GET", "/", ""], ["GET", "/api/", ""], ["POST", "/api/size", size], ["GET", "/api/", ""]]
    hello = [200, '{"hello":"world"}']
    assert called(AZURE, "function_app", requests, folder) == [
        [200, "the old page\n"],
        hello,
        [200, '{"size":100000}'],
        hello,
    ]


def test_the_entry_point_of_app_engine(folder: Path) -> None:
    (configuration,) = [block for block in BLOCKS if block.language == "yaml"]
    loaded = yaml.safe_load(configuration.text)
    assert re.fullmatch(r"python3\d\d", loaded["runtime"])
    # The page's test puts in the port as it does elsewhere, and servers of tests are for this machine alone.
    words = shlex.split(loaded["entrypoint"].replace("--host 0.0.0.0 --port $PORT ", ""))
    page = Page(folder)
    try:
        with page.serve(words).client() as client:
            assert client.get("/").text == "the old page\n"
            assert client.get("/api/").json() == {"hello": "world"}
    finally:
        page.stop()
