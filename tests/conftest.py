"""Fixtures on top of ``tests.support``. Each proves at its end that nothing of what it started is left."""

import gc
import logging
import os
import signal
import tempfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
import trustme
from hypothesis import HealthCheck, settings

from tests.support import servers
from tests.support.environment import forget_settings
from tests.support.servers import RunningServer
from tests.support.threads import wait_for_no_bridge_threads

# A shell without job control starts what it puts into the background with SIGINT ignored. Python leaves it so, and the
# servers would not hear that a test interrupts them: what is ignored stays ignored in a new program. With a handler
# here a new program begins with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A test that is about such a variable sets it itself.
forget_settings(os.environ)

# A unix socket's path may have 103 bytes at most on some systems; what is in a folder for servers has about 45 of them.
_LONG = 58

# No test asserts on time: not on that of one example, nor on that of making it.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


#: Those that fixtures have started, and not taken away.
_running: list[RunningServer] = []
#: Characters of a server's log that a failed test shows.
_TOLD = 10_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What fails once in a thousand runs is understood by the log of its server, or not at all."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {server!r}", server.log()[-_TOLD:]) for server in _running]
    return report


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what the imports made: tests of memory call it often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def no_garbage() -> Iterator[None]:
    """What the tests of a file have left to the collector ends with the file, and not in the log of another one's."""
    yield
    gc.collect()


class StartServer(Protocol):
    """Starts ``servers.SERVERS[name]`` for ``"module:attribute"``; see ``servers.start``."""

    def __call__(
        self,
        name: str,
        app: str,
        *,
        unix: bool = False,
        arguments: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> RunningServer: ...


class ServerPool:
    """Servers that the tests of one module share: started at their first use."""

    def __init__(self, start: StartServer) -> None:
        self._start = start
        self._running: dict[tuple[str, str, frozenset[tuple[str, str]]], RunningServer] = {}

    def get(self, name: str, app: str, environ: Mapping[str, str] | None = None) -> RunningServer:
        """Return the running server ``name`` with the app ``"module:attribute"`` and these variables."""
        key = (name, app, frozenset((environ or {}).items()))
        if key not in self._running:
            self._running[key] = self._start(name, app, environ=environ)
        return self._running[key]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return the paths of a certificate for 127.0.0.1, its key, and the root that signed it."""
    directory = tmp_path_factory.mktemp("tls")
    root = trustme.CA()
    issued = root.issue_cert("127.0.0.1", "localhost")
    chain, key, ca = directory / "cert.pem", directory / "key.pem", directory / "ca.pem"
    issued.private_key_pem.write_to_path(str(key))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    root.cert_pem.write_to_path(str(ca))
    return chain, key, ca


@pytest.fixture
def start_server(certificate: tuple[Path, Path, Path]) -> Iterator[StartServer]:
    """Start servers for one test; they are stopped at its end."""
    yield from _starting(certificate)


@pytest.fixture(scope="module")
def server_pool(certificate: tuple[Path, Path, Path]) -> Iterator[ServerPool]:
    """Start servers that all tests of a module share; they are stopped after the last."""
    for start in _starting(certificate):
        yield ServerPool(start)


@pytest.fixture
def no_bridge_threads() -> Iterator[None]:
    """Prove that the test leaves no thread of bridge in this process."""
    wait_for_no_bridge_threads()  # what the collector has let go of since the last test ends in a thread, too
    yield
    wait_for_no_bridge_threads()


def _starting(certificate: tuple[Path, Path, Path]) -> Iterator[StartServer]:
    running: list[RunningServer] = []
    # Not tmp_path: its name may be too long for a unix socket, as a TMPDIR may be.
    short = None if len(tempfile.gettempdir()) < _LONG else "/tmp"
    with tempfile.TemporaryDirectory(prefix="bridge-", dir=short) as directory:

        def start(
            name: str,
            app: str,
            *,
            unix: bool = False,
            arguments: tuple[str, ...] = (),
            environ: Mapping[str, str] | None = None,
        ) -> RunningServer:
            server = servers.start(
                name,
                app,
                Path(directory),
                unix=unix,
                arguments=arguments,
                environ=environ,
                certificate=certificate,
            )
            running.append(server)
            _running.append(server)
            return server

        errors: list[BaseException] = []
        try:
            yield start
        finally:
            # All shut down at the same time, and the failure of one leaves no other running.
            for server in running:
                if server.process.poll() is None:
                    server.terminate()
            for server in running:
                try:
                    server.stop()
                except AssertionError as error:
                    errors.append(error)
                _running.remove(server)
        if errors:
            raise BaseExceptionGroup("servers that did not stop cleanly", errors)


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    """What a test, or a library in it, does to logging would be found by the next one in the same process."""
    logger = logging.getLogger("bridge")
    before = (
        logger.disabled,
        logger.propagate,
        logger.level,
        logger.handlers[:],
        logging.root.manager.disable,
    )
    yield
    after = (
        logger.disabled,
        logger.propagate,
        logger.level,
        logger.handlers[:],
        logging.root.manager.disable,
    )
    logger.disabled, logger.propagate, level, logger.handlers[:], disable = before
    logger.setLevel(level)
    logging.disable(disable)
    assert after == before
