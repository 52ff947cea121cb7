"""The configurations of the pages on deployment, each by the program that it is for."""

import contextlib
import http.client
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import websockets.sync.client
import yaml

from tests.support import mod_wsgi
from tests.support.apache import apache
from tests.support.pages import DOCS, Page, blocks
from tests.support.servers import REPOSITORY, RunningServer, ServerKind, free_port

DEPLOYMENT = blocks(DOCS / "guides/deployment.md")
KUBERNETES = blocks(DOCS / "guides/kubernetes.md")
#: The first release of Kubernetes with all that the page has, and the newest of the package.
RELEASES = ("1.30", kubernetes_validate.latest_version())

#: What nginx is put before: it says what it knows of its client, streams when it is told to, and echoes.
APP = """
import threading
from flask import Flask, Response, request

app = Flask(__name__)
told = threading.Event()

@app.get("/")
def home():
    return f"{request.scheme} {request.host} {request.remote_addr}"

@app.post("/size")
def size():
    return str(len(request.get_data()))

@app.get("/events")
def events():
    def lines():
        yield "data: 1\\n\\n"
        told.wait(60)
        yield "data: 2\\n\\n"
    return Response(lines(), content_type="text/event-stream")

@app.post("/tell")
def tell():
    told.set()
    return ""

@app.route("/echo", websocket=True)
def echo():
    socket = request.environ["wsgi.websocket"]
    socket.send(socket.receive())
    return ""
"""


def configuration(language: str, page: Any = DEPLOYMENT) -> str:
    (text,) = [block.text for block in page if block.language == language]
    return str(text)


@pytest.fixture
def nginx(page: Page) -> Iterator[RunningServer]:
    """nginx by the page's configuration, before ``APP`` on the page's first command line."""
    command = shutil.which("nginx")
    if command is None:
        pytest.skip("nginx is not installed (Debian's package nginx-light)")
    (page.folder / "shop.py").write_text(APP)
    line = next(block.text for block in DEPLOYMENT if block.language == "sh")
    port, app = free_port(), page.serve(shlex.split(line)).port
    server = configuration("nginx").replace("listen 80;", f"listen 127.0.0.1:{port};")
    server = server.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{app}")
    assert server.count(str(app)) == 2
    path = page.folder / "nginx.conf"
    folders = "".join(
        f"{kind}_temp_path {page.folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path.write_text(
        f"daemon off;\npid {page.folder}/pid;\nerror_log stderr;\nuser root;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{folders}{server}}}\n"
    )
    log_path = page.folder / "nginx.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [command, "-p", str(page.folder), "-c", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    kind = ServerKind("nginx", "asgi", (command,), tcp=())
    running = RunningServer(kind, "the page's configuration", "127.0.0.1", port, None, log_path, process)
    try:
        running.wait_until_accepting()
        yield running
    finally:
        running.stop()


def test_nginx_hands_on_what_the_app_has_to_know(nginx: RunningServer) -> None:
    with nginx.client() as client:
        forged = {"Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
        # The scheme is nginx's own. Of the addresses, the app takes the last one that is no proxy's.
        assert client.get("/", headers={"Host": "shop.example"}).text == "http shop.example 127.0.0.1"
        scheme, host, _ = client.get("/", headers=forged).text.split()
        assert (scheme, host) == ("http", "shop.example")
        assert client.post("/size", content=b"x" * 2_000_000).text == "2000000"
    # It refuses by the head alone.
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/size")
        connection.putheader("Content-Length", str(2**30))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_nginx_lets_events_through_at_once(nginx: RunningServer) -> None:
    with nginx.client() as client, client.stream("GET", "/events") as response, nginx.client() as other:
        lines = response.iter_lines()
        assert next(lines) == "data: 1"
        assert other.post("/tell").status_code == 200
        assert [line for line in lines if line] == ["data: 2"]


def test_nginx_lets_a_websocket_through(nginx: RunningServer) -> None:
    url = f"{nginx.url.replace('http', 'ws')}/echo"
    with websockets.sync.client.connect(url, proxy=None) as socket:
        socket.send("echo")
        assert socket.recv(timeout=30) == "echo"


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    command = shutil.which("systemd-analyze")
    if command is None:
        pytest.skip("systemd-analyze is not installed (Debian's package systemd)")
    unit = configuration("ini")
    # What it names has to be there. A path of this checkout's may have a blank in it.
    (tmp_path / ".venv").symlink_to(sys.prefix)
    unit = unit.replace("/srv/shop", str(tmp_path)).replace("User=shop", "User=daemon")
    path = tmp_path / "shop.service"
    path.write_text(unit)
    done = subprocess.run(
        [command, "verify", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "shop.service" in line]
    assert complaints == []
    # What comes with SIGTERM has less time than systemd gives.
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert seconds is not None
    assert int(seconds[1]) > 30, "the default of shutdown_timeout"


def test_the_unit_s_command_serves_and_ends_as_systemd_ends_it(page: Page) -> None:
    command = re.search(r"^ExecStart=/srv/shop/.venv/bin/(.*)$", configuration("ini"), re.MULTILINE)
    assert command is not None
    (page.folder / "shop.py").write_text(APP)
    server = page.serve(shlex.split(command[1]))
    with server.client() as client:
        assert client.get("/", headers={"X-Forwarded-Proto": "https"}).text.startswith("https ")
    # KillMode=mixed: SIGTERM goes to the first process. For Restart=on-failure, these two are no failure.
    assert server.stop() in {0, -signal.SIGTERM}


def test_the_container_s_command_serves(page: Page) -> None:
    command = re.search(r"^CMD (\[.*\])$", configuration("docker"), re.MULTILINE)
    assert command is not None
    words = json.loads(command[1])
    # A server of the tests is for this machine alone.
    words[words.index("--host") + 1] = "127.0.0.1"
    (page.folder / "shop.py").write_text(APP)
    with page.serve(words).client() as client:
        assert client.get("/").text.startswith("http ")


@pytest.mark.skipif(mod_wsgi.missing() is not None, reason=str(mod_wsgi.missing()))
def test_apache_serves_by_the_configuration(tmp_path: Path) -> None:
    for title in ("api.py", "app.wsgi"):
        (tmp_path / title).write_text(next(block.text for block in DEPLOYMENT if block.title == title))
    # The environment that it names, of the Python that mod_wsgi has built in, with the packages of this one.
    environment = tmp_path / ".venv"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n{REPOSITORY}\n")
    rest = f'WSGISocketPrefix "{tmp_path}/"\n{configuration("apache").replace("/srv/shop", str(tmp_path))}'
    with apache(tmp_path, free_port(), ("alias", "wsgi"), rest) as running, running.client() as client:
        assert client.get("/").json() == {"hello": "world"}
        # What the line of chunked uploads is for: the app's own answer.
        assert client.post("/", content=iter([b"x"])).status_code == 405
    running.assert_no_traceback()


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_takes_the_file(release: str) -> None:
    documents = list(yaml.safe_load_all(configuration("yaml", KUBERNETES)))
    assert [document["kind"] for document in documents] == [
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
    ]
    for document in documents:
        kubernetes_validate.validate(document, release, strict=True)
    broken = {**documents[0], "spec": {**documents[0]["spec"], "replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, release, strict=True)


def test_the_pod_s_numbers_fit_and_its_command_serves(page: Page) -> None:
    deployment, service, scaler, budget = yaml.safe_load_all(configuration("yaml", KUBERNETES))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    options = dict(word.removeprefix("--").split("=") for word in container["command"] if "=" in word)
    steps = (
        container["lifecycle"]["preStop"]["sleep"]["seconds"],
        int(options["timeout-graceful-shutdown"]),
        int(options["shutdown-timeout"]),
    )
    assert sum(steps) < pod["terminationGracePeriodSeconds"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert labels == budget["spec"]["selector"]["matchLabels"]
    assert scaler["spec"]["minReplicas"] == deployment["spec"]["replicas"] > budget["spec"]["minAvailable"]
    # The probes ask what the page's app answers.
    (page.folder / "shop.py").write_text(next(block.text for block in KUBERNETES if block.title == "shop.py"))
    words = [word.replace("--host=0.0.0.0", "--host=127.0.0.1") for word in container["command"]]
    with page.serve(words).client() as client:
        for probe in ("startupProbe", "readinessProbe"):
            assert client.get(container[probe]["httpGet"]["path"]).text == "ok\n"
