"""Figures of adapters for Prometheus: ``stats()`` as a collector of prometheus-client (the extra ``metrics``).

    app = Dispatcher({"/metrics": prometheus_client.make_wsgi_app(), "/": shop})
    prometheus_client.REGISTRY.register(AdapterCollector(app))

The figures are read when Prometheus asks; a request does nothing for them. What each means is said by
``bridge.WsgiToAsgiStats`` and ``bridge.AsgiToWsgiStats``.

Several processes. A scrape is answered by one worker, and these figures are of that worker alone. prometheus-client's
multiprocess mode, with ``PROMETHEUS_MULTIPROC_DIR``, doesn't help: it adds up what its own metrics write to files at
each change, and takes no collectors. To write files at each change is what a request would pay for. So:

- Where that variable is set, each figure has the label ``pid``, as prometheus-client's own gauges have it there. The
  figures of one worker are not taken for another's. A ``MultiProcessCollector`` and an ``AdapterCollector`` may be in
  one registry.
- To have all workers scraped, each has a port of its own, by ``prometheus_client.start_http_server(port)``: the first
  one of a range that is free. docs/guides/logging.md has the lines.

Threads: any may collect. A collector has no state of its own, and asks each adapter in turn.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .to_asgi.stats import WsgiToAsgiStats
from .to_wsgi.stats import AsgiToWsgiStats

__all__ = ["AdapterCollector", "Source"]

_Stats: TypeAlias = WsgiToAsgiStats | AsgiToWsgiStats


class Source(Protocol):
    """A ``WsgiToAsgi``, an ``AsgiToWsgi``, or a ``Dispatcher``."""

    def stats(self) -> _Stats | Mapping[str, _Stats]: ...


class _Figure(NamedTuple):
    """A figure of ``stats()``, as Prometheus has it."""

    name: str
    attribute: str
    text: str
    counter: bool = False


# By Prometheus' rules for names: the unit at the end, in the plural; "_total" is added to a counter.
_FIGURES = (
    _Figure("bridge_threads_busy", "threads_busy", "Threads that run a request of the app."),
    _Figure("bridge_threads_idle", "threads_idle", "Threads that are there and free."),
    _Figure("bridge_threads_limit", "threads_limit", "Threads that there may be."),
    _Figure("bridge_requests_waiting", "waiting", "Requests that wait for a thread."),
    _Figure("bridge_requests_waiting_limit", "backlog", "Requests that may wait for a thread."),
    _Figure("bridge_requests_in_flight", "in_flight", "Requests under way in the app, or waiting for it."),
    _Figure("bridge_requests", "requests", "Requests handed to the threads.", counter=True),
    _Figure("bridge_requests_refused", "refused", "Requests answered 503: no thread was free.", counter=True),
    _Figure("bridge_requests_rejected", "rejected", "Requests answered in place of the app.", counter=True),
    _Figure("bridge_clients_left", "clients_left", "Clients that left before the response.", counter=True),
    _Figure("bridge_spooled_bytes", "bytes_spooled", "Bytes of request bodies put on disk.", counter=True),
    _Figure("bridge_response_buffered_bytes", "bytes_buffered", "Bytes that wait for their server's thread."),
    _Figure("bridge_websockets_open", "websockets_open", "WebSockets whose app has not returned."),
    _Figure("bridge_websockets_limit", "websockets_limit", "WebSockets that may be open."),
    _Figure("bridge_websockets", "websockets", "WebSockets that reached the app.", counter=True),
    _Figure("bridge_loops", "loops", "Event loops that call the adapter, or that it runs the app on."),
    _Figure("bridge_loops_idle", "loops_idle", "Event loops kept for the next request."),
    _Figure(
        "bridge_lifespan_startup_failures",
        "startup_failures",
        "Startups of the app that failed.",
        counter=True,
    ),
)


class AdapterCollector(Collector):
    """The figures of adapters, for ``register()`` of a registry of prometheus-client.

    Args:
        source: an adapter, or a ``Dispatcher``, or a mapping of names to those. Each figure has the label ``adapter``:
            where the app is mounted (``/`` for an adapter alone), after the name if there is one.

    A registry takes one of them, for a name may come once; all adapters go into one mapping. A figure that an adapter
    doesn't know is left out: ``threads_idle`` with an executor of the user's, for example. The lifespan is the gauge
    ``bridge_lifespan``, 1 with the label ``state``.
    """

    def __init__(self, source: Source | Mapping[str, Source]) -> None:
        self._sources: Mapping[str, Source] = source if isinstance(source, Mapping) else {"": source}

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry; no adapter is asked."""
        return [_family(figure, ()) for figure in _FIGURES] + [_lifespan(())]

    def collect(self) -> Iterator[Metric]:
        """All figures of this moment, in this process."""
        pid = [str(os.getpid())] if _shared_by_processes() else []
        names = ("adapter", "pid") if pid else ("adapter",)
        rows = [([place, *pid], stats) for place, stats in self._all_stats()]
        for figure in _FIGURES:
            family = _family(figure, names)
            for labels, stats in rows:
                value = getattr(stats, figure.attribute, None)
                if value is not None:
                    family.add_metric(labels, value)
            yield family
        lifespan = _lifespan(names)
        for labels, stats in rows:
            if isinstance(stats, AsgiToWsgiStats):
                lifespan.add_metric([*labels, stats.lifespan], 1)
        yield lifespan

    def _all_stats(self) -> Iterator[tuple[str, _Stats]]:
        for name, source in self._sources.items():
            stats = source.stats()
            if isinstance(stats, Mapping):
                for place, each in stats.items():
                    yield name + place, each
            else:
                yield name or "/", stats


def _family(figure: _Figure, labels: Iterable[str]) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if figure.counter else GaugeMetricFamily
    return kind(figure.name, figure.text, labels=tuple(labels))


def _lifespan(labels: Iterable[str]) -> GaugeMetricFamily:
    text = "How far the lifespan of the app is: 1, in the label."
    return GaugeMetricFamily("bridge_lifespan", text, labels=(*labels, "state"))


def _shared_by_processes() -> bool:
    """Whether prometheus-client is in its multiprocess mode; it reads the older name too."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ or "prometheus_multiproc_dir" in os.environ
