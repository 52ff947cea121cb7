"""Adapters in both loop modes."""

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import uvloop

from bridge.to_wsgi.adapter import AsgiToWsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import ASGIApp
from tests.support.threads import wait_for_no_bridge_threads


@pytest.fixture(params=["request", "shared"])
def mode(request: pytest.FixtureRequest) -> LoopMode:
    mode: LoopMode = request.param
    return mode


@pytest.fixture
def adapt(mode: LoopMode) -> Iterator[Callable[..., AsgiToWsgi]]:
    """Make adapters; at the end nothing that they started is left."""
    process = psutil.Process()
    adapters: list[AsgiToWsgi] = []
    gc.collect()  # what another test has left to the collector ends before
    # The first one of a process opens two descriptors for good.
    uvloop.new_event_loop().close()
    threads, descriptors = threading.enumerate(), process.num_fds()

    def make(app: ASGIApp, **options: Any) -> AsgiToWsgi:
        adapter = AsgiToWsgi(app, loop=options.pop("loop", mode), **{"lifespan": "off", **options})
        adapters.append(adapter)
        return adapter

    yield make
    for adapter in adapters:
        adapter.close()
    wait_for_no_bridge_threads()
    for thread in threading.enumerate():
        if thread not in threads:
            thread.join(30)  # anyio tells its threads to end, and does not wait
            assert not thread.is_alive()
    assert process.num_fds() == descriptors
