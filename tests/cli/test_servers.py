"""The table of servers: command lines, and what is refused in one line."""

import importlib.util
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from bridge.cli.servers import SERVERS, Options, UsageError, arguments, check, check_threads, url

APP = "bridge.cli.served:app"
EVERYTHING: dict[str, Any] = {"host": "0.0.0.0", "port": 9000, "workers": 3, "threads": 7, "reload": True}


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("uvicorn", {}, f"-m uvicorn {APP} --interface asgi3 --host 127.0.0.1 --port 8000"),
        (
            "uvicorn",
            {"host": "::1", "port": 0, "workers": 3, "threads": 7},
            f"-m uvicorn {APP} --interface asgi3 --host ::1 --port 0 --workers 3",
        ),
        (
            "uvicorn",
            {"reload": True},
            f"-m uvicorn {APP} --interface asgi3 --host 127.0.0.1 --port 8000 --reload",
        ),
        (
            "uvicorn",
            {"workers": 2, "extra": ("--uds", "/run/x", "--no-access-log")},
            f"-m uvicorn {APP} --interface asgi3 --workers 2 --uds /run/x --no-access-log",
        ),
        ("hypercorn", EVERYTHING, f"-m hypercorn asgi:{APP} --bind 0.0.0.0:9000 --workers 3 --reload"),
        ("hypercorn", {"host": "::1"}, f"-m hypercorn asgi:{APP} --bind [::1]:8000"),
        ("hypercorn", {"extra": ("-bunix:/run/x",)}, f"-m hypercorn asgi:{APP} -bunix:/run/x"),
        ("daphne", {"port": 9000}, f"-m daphne {APP} --bind 127.0.0.1 --port 9000"),
        ("daphne", {"extra": ("-e", "ssl:443")}, f"-m daphne {APP} -e ssl:443"),
        ("gunicorn", EVERYTHING, f"-m gunicorn {APP} --bind 0.0.0.0:9000 --workers 3 --threads 7 --reload"),
        ("gunicorn", {"extra": ("--bind=unix:/run/x",)}, f"-m gunicorn {APP} --bind=unix:/run/x"),
        ("waitress", {"threads": 7}, f"-m waitress --listen 127.0.0.1:8000 --threads 7 {APP}"),
        ("waitress", {"extra": ("--ident=x",)}, f"-m waitress --listen 127.0.0.1:8000 --ident=x {APP}"),
        ("waitress", {"extra": ("--unix-socket=/x",)}, f"-m waitress --unix-socket=/x {APP}"),
        ("wsgiref", {"port": 9000}, "-m bridge.cli.wsgiref 127.0.0.1 9000"),
    ],
)
def test_command_lines(name: str, asked: dict[str, Any], words: str) -> None:
    options = Options(**asked)
    check(SERVERS[name], options)
    assert arguments(SERVERS[name], options) == words.split(" ")


def test_granian_is_given_the_app_by_its_file() -> None:
    spec = importlib.util.find_spec("bridge")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    app = f"{spec.submodule_search_locations[0]}/cli/served.py:app"
    where = ["--host", "0.0.0.0", "--port", "9000"]
    expected = ["-m", "granian", app, "--interface", "asgi", *where, "--workers", "3", "--reload"]
    assert arguments(SERVERS["granian"], Options(**EVERYTHING)) == expected


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
        ("wsgiref", {"extra": ("--x",)}, "wsgiref has no options of its own to take after --"),
        ("waitress", {"port": 1, "extra": ("--listen=x",)}, "--host and --port contradict --listen=x"),
        ("gunicorn", {"host": "x", "extra": ("-b", "y:1")}, "--host and --port contradict -b y:1"),
        (
            "uvicorn",
            {"extra": ("--interface", "wsgi")},
            "--interface after -- contradicts what bridge tells uvicorn",
        ),
        ("gunicorn", {"workers": 2, "extra": ("--workers=3",)}, "--workers=3 after -- contradicts"),
        (
            "granian",
            {"root_path": "/x", "extra": ("--url-path-prefix", "/y")},
            "--url-path-prefix after -- contradicts",
        ),
    ],
)
def test_what_a_server_cannot_do_is_refused(name: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(SERVERS[name], Options(**asked))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_one_worker_is_what_every_server_has() -> None:
    for server in SERVERS.values():
        check(server, Options(workers=1))


def test_a_server_that_is_not_installed_is_refused_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return ModuleSpec(name, None) if name in {"uvicorn", "waitress"} else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(UsageError) as caught:
        check(SERVERS["gunicorn"], Options())
    assert str(caught.value) == (
        "gunicorn is not installed: python -m pip install gunicorn (installed are uvicorn, waitress, wsgiref)"
    )


def test_threads_are_refused_for_an_asgi_app_on_an_event_loop() -> None:
    threads = Options(threads=4)
    with pytest.raises(
        UsageError, match=r"--threads: granian runs an ASGI app on its event loop.*gunicorn and waitress"
    ):
        check_threads(SERVERS["granian"], threads, "asgi")
    check_threads(SERVERS["granian"], threads, "wsgi")
    check_threads(SERVERS["gunicorn"], threads, "asgi")
    check_threads(SERVERS["granian"], Options(), "asgi")


@pytest.mark.parametrize(
    ("name", "asked", "shown"),
    [
        ("uvicorn", {}, "http://127.0.0.1:8000/"),
        ("uvicorn", {"host": "::1", "port": 80, "root_path": "/shop"}, "http://[::1]:80/shop/"),
        ("uvicorn", {"port": 0}, "a free port of 127.0.0.1"),
        ("uvicorn", {"extra": ("--ssl-certfile", "c.pem")}, "https://127.0.0.1:8000/"),
        ("gunicorn", {"extra": ("--certfile=c.pem",)}, "https://127.0.0.1:8000/"),
        ("uvicorn", {"extra": ("--uds", "/run/x")}, "where its own options say (--uds /run/x)"),
    ],
)
def test_the_address_shown(name: str, asked: dict[str, Any], shown: str) -> None:
    assert url(SERVERS[name], Options(**asked)) == shown
