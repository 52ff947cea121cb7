"""What the pages say is so: ``claims.toml`` ties their words to tests, and numbers are those of the code.

Each sentence with a number in it has to be somebody's. So a new one comes with its test, and who changes one has to
look at what shows it.
"""

import inspect
import json
import re
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import gunicorn.config
import hypercorn.config
import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from benchmarks import report
from bridge import WsgiToAsgi, compat, lifespan
from bridge.cli import address
from bridge.cli import gunicorn as served_gunicorn
from bridge.to_asgi import adapter, busy, channel, sending, watch
from bridge.to_asgi.websocket import session
from bridge.to_wsgi import attempts
from tests.support.pages import DOCS, functions_of
from tests.support.servers import REPOSITORY


def default(of: Any, name: str) -> Any:
    return inspect.signature(of).parameters[name].default


def size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


THREADS = default(WsgiToAsgi, "threads")
BACKLOG = default(WsgiToAsgi, "backlog")
REQUEST, RESPONSE = default(WsgiToAsgi, "request_buffer"), default(WsgiToAsgi, "response_buffer")
SHUTDOWN = f"{default(WsgiToAsgi, 'shutdown_timeout'):.0f}"
WEBSOCKETS = adapter._WEBSOCKET_THREADS
GUNICORN_THREADS = served_gunicorn._THREADS
GUNICORN_TIMEOUT = gunicorn.config.Timeout.default
LARGEST_MESSAGE = default(uvicorn.Config, "ws_max_size")
RETRY, RETRY_LIMIT = attempts.RETRY_AFTER, attempts.RETRY_LIMIT
#: How long a backlog of quick requests waits.
WAIT = f"{BACKLOG * 0.05 / THREADS:.1f}"
#: Numbers that the pages write out, in seconds.
WORDS = {5.0: "five", 60.0: "a minute"}
FIGURES = json.loads((DOCS / "benchmarks/figures.json").read_text())

#: Of each page, words with numbers that are in the code, or follow from them.
NUMBERS = {
    "README.md": [f"in one of {THREADS} threads", report.summary(FIGURES)],
    "docs/promises.md": [
        f"The first request after {RETRY:.0f} seconds tries again, for {RETRY_LIMIT:.0f} seconds",
        f"does not answer for {lifespan.SILENCE:.0f} seconds",
        f"The shutdown has {lifespan.SHUTDOWN_LIMIT:.0f} seconds",
        f"Bodies of more than {size(REQUEST)} wait in a temporary file",
    ],
    "docs/guides/background.md": [
        f"gunicorn kills a worker that says nothing for {GUNICORN_TIMEOUT} seconds",
        f"`close()` included: {SHUTDOWN} seconds",
    ],
    "docs/guides/deployment.md": [
        f"the default, {address.DEFAULT_HOST}, can be reached from inside the container only",
        f"uvicorn takes both headers from {default(ProxyHeadersMiddleware, 'trusted_hosts')} by default",
        f"More than shutdown_timeout, which is {SHUTDOWN} seconds",
    ],
    "docs/guides/kubernetes.md": [
        f"(`--shutdown-timeout`), {SHUTDOWN} by default",
        f"| hypercorn | `--graceful-timeout` | {hypercorn.config.Config().graceful_timeout:.0f} seconds |",
        f"| gunicorn | `--graceful-timeout` | {gunicorn.config.GracefulTimeout.default} seconds |",
    ],
    "docs/guides/security.md": [
        f"{size(LARGEST_MESSAGE)} on uvicorn and hypercorn",
        f"| WebSockets | {WEBSOCKETS} at a time for each process |",
    ],
    "docs/guides/serve.md": [f"a worker with {GUNICORN_THREADS} threads"],
    "docs/guides/sizing.md": [
        f"100 requests a second that take 50 ms each keep {100 * 50 // 1000} threads busy",
        f"The default, {THREADS}, is enough for {THREADS * 1000 // 50} a second",
        f"has at most {size(REQUEST)} of its body in memory",
        f"With {THREADS} threads at 50 ms, a backlog of {BACKLOG:,} is a wait of {WAIT} seconds",
        f"`response_buffer`), {size(REQUEST)} and {size(RESPONSE)}",
        f"take some {1000 * (REQUEST + RESPONSE) / 2**20 // 10 * 10:.0f} MiB at most",
        f"`websocket_threads`, {WEBSOCKETS} by default",
        f"| a connection, {size(REQUEST)}, and the rest of the body on disk; no thread |",
        f"| a thread until the app is done, and {size(RESPONSE)} |",
        f"So 200 open event streams and 100 requests a second of 50 ms each need {200 + 100 * 50 // 1000} threads",
        f"waited for a thread for {WORDS[busy._PATIENCE]} seconds",
    ],
    "docs/guides/transfers.md": [
        f"{size(REQUEST)} of each body are in memory",
        f"calls the app when the first {size(REQUEST)} are there",
        f"ahead of its client by {size(RESPONSE)} (`response_buffer`)",
    ],
    "docs/guides/websocket.md": [
        f"There are {WEBSOCKETS} at most",
        f"for {WORDS[session._STUCK]} or two",
    ],
    "docs/tutorial/asgi-on-wsgi.md": [
        f"gives gunicorn {GUNICORN_THREADS} threads",
        f"until gunicorn kills the worker after {GUNICORN_TIMEOUT} seconds",
    ],
    "docs/tutorial/wsgi-on-asgi.md": [
        f"{size(REQUEST)} stay in memory",
        f"There are at most {THREADS}, or",
        f"ahead of its client by {size(RESPONSE)}",
        f"With {THREADS} threads, {THREADS} clients of such a stream",
    ],
    "docs/moving.md": [f"{size(compat._CHUNK)} for each", f"bridge's own has {THREADS} threads"],
    "docs/options.md": [
        f"at most {channel._ITEMS} chunks ahead",
        f"`None`: {WEBSOCKETS}, or 0 with `threads=1`",
    ],
    "docs/how-it-works.md": [
        f"gathers the body: {size(REQUEST)} in memory",
        f"when these {size(REQUEST)} are there",
        f"large ones are cut into {size(sending._PIECE)}",
        f"when {watch.DELAY * 1000:.0f} to {watch.DELAY * 2000:.0f} ms have passed",
    ],
}
CLAIMS: dict[str, dict[str, str | list[str]]] = tomllib.loads(
    (REPOSITORY / "tests/docs/claims.toml").read_text()
)
#: Whose sentences are looked through for numbers. The others have tests of their own.
PAGES = [
    REPOSITORY / "README.md",
    *(DOCS / f"{name}.md" for name in ("comparison", "how-it-works", "index", "moving", "options")),
    *sorted((DOCS / "guides").glob("*.md")),
    *sorted((DOCS / "tutorial").glob("*.md")),
]
_NUMBER = re.compile(r"(?<![\w.])\d+(?!\w)")


def words(text: str) -> str:
    return " ".join(text.split())


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def text_of(name: str) -> str:
    # Links count by their words.
    return re.sub(r"\]\([^)]*\)", "]", words((REPOSITORY / name).read_text()))


def sentences(page: Path) -> list[str]:
    """Of the prose and the tables, without blocks of code and comments."""
    text = re.sub(r"^```.*?^```$|<!--.*?-->", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:[-|#]|\d+\.) )", text)
    prose = [re.sub(r"^(?:- |\d+\. )", "", words(one)) for one in paragraphs if not one.startswith("#")]
    return [one for par in prose for one in re.split(r"(?<=[.!?]) (?=[A-Z`*(\[])|(?<=\.\*\*) ", par)]


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_page_says_has_a_test(name: str) -> None:
    text = text_of(name)
    for claim, shown in CLAIMS[name].items():
        assert claim in text, f"{name} does not say it any more: mend tests/docs/claims.toml, or the page"
        for test in [shown] if isinstance(shown, str) else shown:
            if test.startswith("source: "):
                continue
            path, _, function = test.partition("::")
            assert function in functions_of(REPOSITORY / path), test


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_those_of_the_code(name: str) -> None:
    for claim in NUMBERS[name]:
        assert claim in text_of(name)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_sentence_with_a_number_is_somebodys(page: Path) -> None:
    claims = [*CLAIMS.get(name_of(page), ()), *NUMBERS.get(name_of(page), ())]
    for sentence in sentences(page):
        if not _NUMBER.search(re.sub(r"`[^`]*`", "", sentence)):
            continue
        if "`tests/" in sentence or sentence.startswith("--8<--"):
            continue  # a row of test_security, or figures of the benchmark
        assert any(claim in sentence or sentence in claim for claim in claims), (
            f"tests/docs/claims.toml has no test for: {sentence}"
        )


def test_the_only_dependency() -> None:
    needed = [Requirement(line) for line in requires("asgi-wsgi-bridge") or []]
    assert [one.name for one in needed if one.marker is None or "extra" not in str(one.marker)] == ["asgiref"]


def test_uvicorn_and_hypercorn_have_the_same_limit_for_messages() -> None:
    assert hypercorn.config.Config().websocket_max_message_size == LARGEST_MESSAGE
