"""Words that are no options: the nearest one, and whose they are. The servers are asked themselves, once."""

import contextlib
import functools

import pytest

from bridge.cli import unknown
from bridge.cli.servers import SERVERS


@pytest.fixture(scope="module")
def asked_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Asked in a folder whose modules are called as theirs and Python's are."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("queue", "uvicorn", "gunicorn"):
        (folder / f"{name}.py").write_text("raise LookupError('a module of the user')")
    with contextlib.chdir(folder):
        return unknown._options_of_servers()


def test_the_servers_are_asked_for_their_options(asked_once: dict[str, set[str]]) -> None:
    assert asked_once.keys() == {
        name for name, server in SERVERS.items() if server.requirement and server.installed
    }
    for server, option in (
        ("uvicorn", "--limit-concurrency"),
        ("uvicorn", "--no-server-header"),
        ("hypercorn", "--quic-bind"),
        ("granian", "--backpressure"),
        ("daphne", "--ping-interval"),
        ("gunicorn", "--graceful-timeout"),
        ("gunicorn", "-k"),
        ("waitress", "--no-ipv4"),
    ):
        assert option in asked_once[server]


@pytest.mark.parametrize(
    ("words", "server", "says"),
    [
        ("--limit-concurrency 5", "uvicorn", "; uvicorn has it, behind --: -- --limit-concurrency 5"),
        ("--timeout=5", "gunicorn", "; gunicorn has it, behind --: -- --timeout=5"),
        ("--backpressure 5", "uvicorn", "; granian has it, behind -- (--server granian -- --backpressure)"),
        ("--wrokers 5", "uvicorn", "; did you mean --workers?"),
        ("--no-acess-log", "uvicorn", "; did you mean --no-access-log?"),
        ("--limit-concurency 5", "uvicorn", "; did you mean uvicorn's --limit-concurrency, behind --: -- "),
        ("--frobnicate", "uvicorn", "; neither bridge nor uvicorn, "),
        ("y:app", "uvicorn", "; there is one APP, and --mount /prefix=APP for several"),
    ],
)
def test_the_line(
    words: str, server: str, says: str, asked_once: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown, "_options_of_servers", functools.partial(dict, asked_once))
    message = str(unknown.unrecognized(words.split(), SERVERS[server]))
    assert message.startswith(f"unrecognized arguments: {words}{says}")
    assert "\n" not in message
