"""The table of servers: what is refused in one line, and where a server's own configuration is."""

import importlib.util
import re
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.address import Address
from bridge.cli.asked import Asked
from bridge.cli.errors import UsageError
from bridge.cli.servers import SERVERS, check, own_configuration, url


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        (
            "wsgiref",
            {"workers": 2},
            "--workers: wsgiref can't run more than one; uvicorn, hypercorn, granian and gunicorn can",
        ),
        ("waitress", {"workers": 2}, "--workers: waitress can't run more than one"),
        ("daphne", {"workers": 2}, "--workers: daphne can't run more than one"),
        ("daphne", {"reload": True}, "--reload: daphne can't; uvicorn, hypercorn, granian and gunicorn can"),
        ("waitress", {"reload": True}, "--reload: waitress can't"),
        ("wsgiref", {"reload": True}, "--reload: wsgiref can't"),
        (
            "uvicorn",
            {"reload": True, "workers": 2},
            "--reload with --workers: uvicorn can't do both; hypercorn, granian and gunicorn can",
        ),
        (
            "wsgiref",
            {"threads": 2},
            "--threads: wsgiref can't, it handles one request at a time; gunicorn and waitress",
        ),
        ("wsgiref", {"uds": "/x"}, "--uds: wsgiref takes no Unix socket; uvicorn, hypercorn,"),
        (
            "granian",
            {"fd": 3},
            "--fd: granian takes no open socket; uvicorn, hypercorn, daphne and gunicorn can",
        ),
        ("waitress", {"bind": Address(fd=3)}, "--fd: waitress takes no open socket"),
        ("waitress", {"ssl_certfile": "x"}, "--ssl-certfile: waitress speaks no https; uvicorn,"),
        ("waitress", {"access_log": True}, "--access-log: waitress has no access log; uvicorn,"),
        ("wsgiref", {"extra": ("--x",)}, "wsgiref has no options of its own to take after --"),
        (
            "waitress",
            {"port": 1, "extra": ("--listen=x",)},
            "--listen=x after -- contradicts 127.0.0.1:1: say where to listen once",
        ),
        ("gunicorn", {"host": "x", "extra": ("-b", "y:1")}, "-b y:1 after -- contradicts x:8000"),
    ],
)
def test_what_a_server_cannot_do_is_refused(name: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(SERVERS[name], Asked(**asked))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_one_worker_is_what_every_server_has() -> None:
    for server in SERVERS.values():
        check(server, Asked(workers=1))


def test_a_server_that_is_not_installed_is_refused_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return ModuleSpec(name, None) if name in {"uvicorn", "waitress"} else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(UsageError) as caught:
        check(SERVERS["gunicorn"], Asked())
    assert str(caught.value) == (
        "gunicorn is not installed: python -m pip install gunicorn (installed are uvicorn, waitress, wsgiref)"
    )


@pytest.mark.parametrize(
    ("name", "extra", "variables", "where"),
    [
        ("gunicorn", (), {}, None),
        ("gunicorn", ("-c", "x.py"), {}, "its configuration, -c x.py"),
        ("hypercorn", ("--keyfile-password", "secret", "-cx"), {}, "its configuration, -cx"),
        ("gunicorn", ("--preload",), {"PORT": "1", "GUNICORN_CMD_ARGS": "-w 2"}, "GUNICORN_CMD_ARGS, PORT"),
        ("uvicorn", (), {"UVICORN_PORT": "1", "PORT": "1"}, "UVICORN_PORT"),
        ("uvicorn", (), {"WEB_CONCURRENCY": "2"}, "WEB_CONCURRENCY"),
        ("granian", (), {"GRANIAN_PORT": "1"}, "GRANIAN_PORT"),
        ("hypercorn", ("--config=x",), {"UVICORN_PORT": "1"}, "its configuration, --config=x"),
        ("waitress", (), {"PORT": "1", "WEB_CONCURRENCY": "2"}, None),
    ],
)
def test_where_its_own_configuration_is(
    name: str, extra: tuple[str, ...], variables: dict[str, str], where: str | None
) -> None:
    assert own_configuration(SERVERS[name], extra, variables) == where


def test_the_file_that_gunicorn_reads_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gunicorn.conf.py").write_text("")
    assert own_configuration(SERVERS["gunicorn"], (), {}) == "gunicorn.conf.py"
    assert url(SERVERS["gunicorn"], Asked(), {}) == "where gunicorn.conf.py may say"
    assert url(SERVERS["gunicorn"], Asked(port=80), {}) == "http://127.0.0.1:80/"
    assert own_configuration(SERVERS["uvicorn"], (), {}) is None


@pytest.mark.parametrize(
    ("name", "asked", "shown"),
    [
        ("uvicorn", {}, "http://127.0.0.1:8000/"),
        ("uvicorn", {"host": "::1", "port": 80, "root_path": "/shop"}, "http://[::1]:80/shop/"),
        ("uvicorn", {"ssl_certfile": "c.pem"}, "https://127.0.0.1:8000/"),
        ("uvicorn", {"extra": ("--ssl-certfile", "c.pem")}, "https://127.0.0.1:8000/"),
        ("gunicorn", {"extra": ("--certfile=c.pem",)}, "https://127.0.0.1:8000/"),
        ("uvicorn", {"extra": ("--uds", "/run/x")}, "where its own options say (--uds /run/x)"),
        (
            "uvicorn",
            {"extra": ("--ssl-keyfile-password", "secret", "--port=1", "--host", "::1")},
            "where its own options say (--port=1 --host ::1)",
        ),
    ],
)
def test_the_address_shown(name: str, asked: dict[str, Any], shown: str) -> None:
    assert url(SERVERS[name], Asked(**asked), {}) == shown


def test_what_the_servers_sources_say_of_their_loggers() -> None:
    """The names of the table; a server that renames its logger makes the bridge's lines lose its format."""
    for name, file in (
        ("uvicorn", "uvicorn/config.py"),
        ("hypercorn", "hypercorn/logging.py"),
        ("granian", "granian/log.py"),
        ("gunicorn", "gunicorn/glogging.py"),
        ("waitress", "waitress/utilities.py"),
    ):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = (Path(spec.origin).parents[1] / file).read_text()
        assert re.search(f"[\"']{SERVERS[name].logger}[\"']", source)
