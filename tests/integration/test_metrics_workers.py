"""Figures for Prometheus with several workers, as docs/guides/logging.md has them set up."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import StartServer
from tests.support.pages import DOCS, blocks
from tests.support.servers import HOST, REPOSITORY, RunningServer, free_port, poll

#: Orders counts by itself what the bridge counts as requests, or as handshakes that it has answered itself.
SITE = """
import os
import prometheus_client
import prometheus_client.multiprocess
from bridge import Dispatcher
from bridge.metrics import AdapterCollector

orders = prometheus_client.Counter("shop_orders", "Requests.")

def shop(environ, start_response):
    orders.inc()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]

async def api(scope, receive, send):
    assert scope["type"] == "http"
    orders.inc()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

registry = prometheus_client.REGISTRY
"""
MOUNTED = """
app = Dispatcher({"/metrics": prometheus_client.make_wsgi_app(registry), "/api": api, "/": shop})
"""
REGISTERED = "registry.register(AdapterCollector(app))\n"


class Way(NamedTuple):
    """A server of two workers, and a figure that counts there."""

    server: str
    path: str
    figure: str
    headers: dict[str, str]
    status: int


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
WAYS = [
    Way("uvicorn-h11", "/", "bridge_requests_total", {}, 200),
    Way("gunicorn-gthread", "/api", "bridge_requests_rejected_total", HANDSHAKE, 501),
]
ways = pytest.mark.parametrize("way", WAYS, ids=[way.server for way in WAYS])


@pytest.fixture
def start(start_server: StartServer, tmp_path: Path) -> Callable[..., RunningServer]:
    def start(way: Way, source: str, **variables: str) -> RunningServer:
        (tmp_path / "metrics_site.py").write_text(source)
        environ = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}", **variables}
        return start_server(way.server, "metrics_site:app", arguments=("--workers", "2"), environ=environ)

    return start


def block(start: str) -> str:
    """The block of the page that begins so."""
    [text] = [each.text for each in blocks(DOCS / "guides/logging.md") if each.text.startswith(start)]
    return text


def figures(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Each sample's labels and value, by its name."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def get(url: str, **headers: str) -> httpx.Response:
    """By a connection of its own, which any worker may get."""
    return httpx.get(url, headers={"Connection": "close", **headers}, trust_env=False, timeout=30)


@ways
def test_each_worker_has_a_port_of_its_own_and_none_is_missed(
    way: Way, start: Callable[..., RunningServer]
) -> None:
    free = [free_port() for _ in range(4)]
    ports = block("import prometheus_client\n\nfor port in").replace("range(9101, 9105)", str(free))
    server = start(way, SITE + MOUNTED + REGISTERED + ports)

    def scraped() -> list[str]:
        texts = []
        for port in free:
            try:
                texts.append(get(f"http://{HOST}:{port}/metrics").text)
            except httpx.ConnectError:
                continue
        return texts

    poll(lambda: len(scraped()) == 2, 30, lambda: f"no two workers: {server.log()}")
    for _ in range(20):
        assert get(f"{server.url}{way.path}", **way.headers).status_code == way.status
    values = [
        value
        for text in scraped()
        for labels, value in figures(text)[way.figure]
        if labels == {"adapter": way.path}
    ]
    assert len(values) == 2
    assert sum(values) == 20


@ways
def test_in_multiprocess_mode_the_apps_own_are_sums_and_the_bridges_are_told_apart(
    way: Way, start: Callable[..., RunningServer], tmp_path: Path
) -> None:
    both = block("registry = prometheus_client.CollectorRegistry()").replace("registry.register(", "# ")
    (tmp_path / "metrics").mkdir()
    server = start(
        way, SITE + both + MOUNTED + REGISTERED, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")
    )
    asked: Counter[str] = Counter()

    def both_answer() -> bool:
        asked[get(f"{server.url}{way.path}").text] += 1
        return len(asked) == 2

    poll(both_answer, 30, lambda: f"one worker alone: {server.log()}")
    answered: dict[str, float] = {}

    def both_are_scraped() -> bool:
        found = figures(get(f"{server.url}/metrics").text)
        assert found["shop_orders_total"] == [({}, asked.total())]
        [(labels, value)] = [each for each in found[way.figure] if each[0]["adapter"] == way.path]
        told = {
            each["pid"]
            for name, samples in found.items()
            if name.startswith("bridge_")
            for each, _ in samples
        }
        assert told == {labels["pid"]}, "one scrape is one worker's"
        answered[labels["pid"]] = value
        return answered.keys() == asked.keys()

    poll(both_are_scraped, 30, lambda: f"of one worker alone: {answered}, {asked}")
    if way.status == 200:
        assert answered == asked
