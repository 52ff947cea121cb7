"""``bridge.metrics``: what Prometheus gets, by its own parser, in both directions and through a ``Dispatcher``."""

import asyncio
import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bridge import AsgiToWsgi, AsgiToWsgiStats, Dispatcher, WsgiToAsgi, WsgiToAsgiStats
from bridge.metrics import _FIGURES, AdapterCollector, Source
from tests.support.asgi import call_asgi
from tests.support.lifespan import run_lifespan
from tests.support.wsgi import call, environ_for
from tests.support.wsgi_apps import hello
from tests.to_wsgi.apps import hello as asgi_hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(source: Source | dict[str, Source]) -> Samples:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(AdapterCollector(source))
    return samples(prometheus_client.generate_latest(registry).decode())


def at(place: str, **labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"adapter": place, **labels}.items()))


def site() -> tuple[Dispatcher, CollectorRegistry]:
    registry = CollectorRegistry()
    app = Dispatcher(
        {
            "/metrics": prometheus_client.make_wsgi_app(registry),
            "/api": AsgiToWsgi(asgi_hello, loop="request"),
            "/": hello,
        }
    )
    registry.register(AdapterCollector(app))
    return app, registry


def test_each_figure_of_stats_is_there() -> None:
    told = {figure.attribute for figure in _FIGURES} | {"lifespan", "loop"}
    for kind in (WsgiToAsgiStats, AsgiToWsgiStats):
        assert {field.name for field in dataclasses.fields(kind)} <= told
    assert len({figure.name for figure in _FIGURES}) == len(_FIGURES)


def test_a_scrape_on_an_asgi_server() -> None:
    app, _ = site()

    async def main() -> None:
        await run_lifespan(app)

    for path in ("/x", "/x", "/metrics"):
        response = call_asgi(app, path=path)
        assert response.status == 200
    asyncio.run(main())
    found = samples(response.body.decode())
    assert found["bridge_requests_total", at("/")] == 2
    assert found["bridge_threads_busy", at("/metrics")] == 1, "it is the one that answers"
    assert found["bridge_threads_limit", at("/")] == 40


def test_a_scrape_on_a_wsgi_server() -> None:
    app, _ = site()
    with app:
        call(app, environ_for("/api"))
        call(app, environ_for("/api", HTTP_UPGRADE="websocket"))
        answer = call(app, environ_for("/metrics"))
    found = samples(answer.body.decode())
    assert found["bridge_loops_idle", at("/api")] == 1
    assert found["bridge_requests_rejected_total", at("/api")] == 1
    assert found["bridge_lifespan", at("/api", state="none")] == 1


def test_the_name_of_each_adapter() -> None:
    assert ("bridge_loops", at("/")) in scraped(WsgiToAsgi(hello))
    found = scraped({"old": WsgiToAsgi(hello), "new": Dispatcher({"/api": asgi_hello})})
    assert {labels for name, labels in found if name == "bridge_loops"} == {at("old"), at("new/api")}


def test_what_is_not_known_is_left_out() -> None:
    with ThreadPoolExecutor(1) as executor:
        found = scraped(WsgiToAsgi(hello, executor=executor))
    assert ("bridge_threads_busy", at("/")) in found
    assert ("bridge_threads_idle", at("/")) not in found
    assert ("bridge_threads_limit", at("/")) not in found


def test_a_registry_refuses_a_second_one_without_asking_the_adapters() -> None:
    class Fails:
        def stats(self) -> WsgiToAsgiStats:
            raise AssertionError("asked")

    registry = CollectorRegistry()
    registry.register(AdapterCollector(Fails()))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(AdapterCollector(Fails()))


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_workers_are_told_apart_in_multiprocess_mode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/nowhere")
    found = scraped(AsgiToWsgi(asgi_hello))
    assert found["bridge_loops", at("/", pid=str(os.getpid()))] == 0
    assert found["bridge_lifespan", at("/", pid=str(os.getpid()), state="new")] == 1
    monkeypatch.delenv(name)
    assert ("bridge_loops", at("/")) in scraped(AsgiToWsgi(asgi_hello))
