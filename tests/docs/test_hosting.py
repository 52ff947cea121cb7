"""The files of the page on hosting platforms, called as the platforms call them: by their own Python packages, each in
a process of its own. On Lambda that is AWS's runtime, which asks a server on this machine for its events.
"""

import base64
import http.server
import json
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.pages import DOCS, Page, blocks
from tests.support.servers import REPOSITORY

BLOCKS = blocks(DOCS / "guides/hosting.md")

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


def called_by_azure(module: str, requests: list[Any], folder: Path) -> list[Any]:
    """What the answers are; the process ends, and complains of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", AZURE, module],
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


class RuntimeApi(http.server.ThreadingHTTPServer):
    """Lambda's side of its Runtime API: it hands out one event after the other, and takes each one's answer.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
    """

    def __init__(self, events: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), RuntimeApiRequest)
        self.events = iter(events)
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.ended = threading.Event()


class RuntimeApiRequest(http.server.BaseHTTPRequestHandler):
    server: RuntimeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        event = next(self.server.events, None)
        if event is None:
            # Here Lambda freezes the process.
            self.server.ended.wait(60)
            self.close_connection = True
            return
        body = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4()))
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 30_000))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123:function:shop")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        # .../invocation/ID/response, .../invocation/ID/error or .../init/error
        answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answers.put((self.path.rpartition("/")[2], answer))

    def log_message(self, *args: object) -> None:
        pass


def called_by_lambda(module: str, events: list[Any], folder: Path) -> list[Any]:
    """What ``handler`` of this module answers to these events, in AWS's runtime, which logs nothing meanwhile.

    Not each warning is an error: mangum asks for the current event loop in a way that newer versions of Python warn of.
    """
    pytest.importorskip("awslambdaric", reason="AWS's runtime is for Linux")
    output = folder / "output"
    with RuntimeApi(events) as api, output.open("wb") as log:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-m", "awslambdaric", f"{module}.handler"],
            cwd=folder,
            env=os.environ
            | {
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
                "LAMBDA_TASK_ROOT": str(folder),
                "PYTHONPATH": f"{folder}:{REPOSITORY}",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            answers = [api.answers.get(timeout=60) for _ in events]
        finally:
            # As Lambda ends it: it may run nothing more.
            process.kill()
            process.wait()
            api.ended.set()
            api.shutdown()
            thread.join()
    assert [what for what, _ in answers] == ["response"] * len(events), answers
    assert output.read_text() == ""
    return [answer for _, answer in answers]


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


def rest_event(method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    """What its REST API gives: version 1.0."""
    headers = gateway_event(method, path, body)["headers"]
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.strip("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "stage": "$default",
            "identity": {"sourceIp": "203.0.113.7"},
        },
        "body": base64.b64encode(body).decode() or None,
        "isBase64Encoded": bool(body),
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


EVENTS = pytest.mark.parametrize("event", [gateway_event, rest_event, balancer_event])


def body_of(answer: dict[str, Any]) -> str:
    assert answer["statusCode"] == 200, answer
    body: str = answer["body"]
    return base64.b64decode(body).decode() if answer["isBase64Encoded"] else body


@EVENTS
def test_mangum_calls_a_flask_app(event: Any, folder: Path) -> None:
    answers = called_by_lambda(
        "with_mangum", [event("GET", "/"), event("GET", "/"), event("GET", "/no")], folder
    )
    assert [body_of(answer) for answer in answers[:2]] == ["the old page\n"] * 2
    assert answers[2]["statusCode"] == 404


@EVENTS
def test_apig_wsgi_calls_a_fastapi_app(event: Any, folder: Path) -> None:
    events = [event("GET", "/"), event("POST", "/size", b"x" * 100_000), event("GET", "/")]
    answers = [json.loads(body_of(answer)) for answer in called_by_lambda("with_apig_wsgi", events, folder)]
    assert answers == [{"hello": "world"}, {"size": 100_000}, {"hello": "world"}]


def test_what_comes_after_a_response_has_run_when_the_handler_returns(folder: Path) -> None:
    answers = called_by_lambda("after", [gateway_event("GET", "/")] * 2, folder)
    assert [json.loads(body_of(answer)) for answer in answers] == [[], ["ran"]]


@pytest.mark.parametrize("kind", ["AsgiFunctionApp", "WsgiFunctionApp"])
def test_azure_functions_calls_a_dispatcher(kind: str, folder: Path) -> None:
    path = folder / "function_app.py"
    path.write_text(path.read_text().replace("AsgiFunctionApp", kind))
    size = base64.b64encode(b"x" * 100_000).decode()
    requests = [["GET", "/", ""], ["GET", "/api/", ""], ["POST", "/api/size", size], ["GET", "/api/", ""]]
    hello = [200, '{"hello":"world"}']
    assert called_by_azure("function_app", requests, folder) == [
        [200, "the old page\n"],
        hello,
        [200, '{"size":100000}'],
        hello,
    ]


def entry_point() -> list[str]:
    """The words of the page's configuration."""
    (configuration,) = [block for block in BLOCKS if block.language == "yaml"]
    loaded = yaml.safe_load(configuration.text)
    assert re.fullmatch(r"python3\d\d", loaded["runtime"])
    # The page's test puts in the port as it does elsewhere, and servers of tests are for this machine alone.
    return shlex.split(loaded["entrypoint"].replace("--host 0.0.0.0 --port $PORT ", ""))


@pytest.mark.parametrize(
    "words", [entry_point(), ["gunicorn", "main:app"]], ids=["of the page", "by default"]
)
def test_the_entry_point_of_app_engine(words: list[str], folder: Path) -> None:
    page = Page(folder)
    try:
        with page.serve(words).client() as client:
            assert client.get("/").text == "the old page\n"
            assert client.get("/api/").json() == {"hello": "world"}
    finally:
        page.stop()
