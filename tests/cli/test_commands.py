"""The servers' command lines: what was asked for, in the words of each, and nothing that was not."""

import importlib.util
from typing import Any

import pytest

from bridge.cli.address import Address
from bridge.cli.asked import Asked
from bridge.cli.commands import arguments, check_extra
from bridge.cli.errors import UsageError
from bridge.cli.servers import SERVERS, check

APP = "bridge.cli.served:app"
GUNICORN = "bridge.cli.gunicorn"
EVERYTHING: dict[str, Any] = {"host": "0.0.0.0", "port": 9000, "workers": 3, "threads": 7, "reload": True}
TLS = {"ssl_certfile": "c", "ssl_keyfile": "k"}
TRUSTING = {"proxy_headers": True, "forwarded_allow_ips": "10.0.0.1"}


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("uvicorn", {}, f"uvicorn {APP} --interface asgi3"),
        ("uvicorn", {"port": 9000}, f"uvicorn {APP} --interface asgi3 --port 9000"),
        (
            "uvicorn",
            {"host": "::1", "port": 0, "workers": 3, "threads": 7},
            f"uvicorn {APP} --interface asgi3 --host ::1 --port 0 --workers 3",
        ),
        (
            "uvicorn",
            {"uds": "/x", "reload": True, **TLS},
            f"uvicorn {APP} --interface asgi3 --uds /x --reload --ssl-certfile c --ssl-keyfile k",
        ),
        (
            "uvicorn",
            {"bind": Address(fd=3), "log_level": "debug", "access_log": False, **TRUSTING},
            f"uvicorn {APP} --interface asgi3 --fd 3 --log-level debug --no-access-log --no-proxy-headers",
        ),
        (
            "uvicorn",
            {"workers": 2, "extra": ("--uds", "/run/x", "--no-access-log")},
            f"uvicorn {APP} --interface asgi3 --workers 2 --uds /run/x --no-access-log",
        ),
        ("hypercorn", {}, f"hypercorn asgi:{APP}"),
        ("hypercorn", EVERYTHING, f"hypercorn asgi:{APP} --bind 0.0.0.0:9000 --workers 3 --reload"),
        ("hypercorn", {"host": "::1"}, f"hypercorn asgi:{APP} --bind [::1]:8000"),
        (
            "hypercorn",
            {"uds": "/x", "access_log": True, "ssl_certfile": "c", **TRUSTING},
            f"hypercorn asgi:{APP} --bind unix:/x --certfile c --keyfile c --access-logfile -",
        ),
        (
            "hypercorn",
            {"fd": 3, "access_log": False},
            f"hypercorn asgi:{APP} --bind fd://3 --access-logfile /dev/null",
        ),
        ("hypercorn", {"extra": ("-bunix:/run/x",)}, f"hypercorn asgi:{APP} -bunix:/run/x"),
        ("daphne", {}, f"daphne {APP}"),
        ("daphne", {"port": 9000, "access_log": True}, f"daphne {APP} --port 9000 --access-log -"),
        ("daphne", {"uds": "/x"}, f"daphne {APP} --unix-socket /x"),
        ("daphne", {"fd": 3}, f"daphne {APP} --fd 3"),
        (
            "daphne",
            {"host": "::1", "ssl_certfile": "a:b"},
            rf"daphne {APP} --endpoint ssl:8000:privateKey=a\:b:certKey=a\:b:interface=\:\:1",
        ),
        ("daphne", {"extra": ("-e", "ssl:443")}, f"daphne {APP} -e ssl:443"),
        ("gunicorn", {}, GUNICORN),
        ("gunicorn", EVERYTHING, f"{GUNICORN} --bind 0.0.0.0:9000 --workers 3 --threads 7 --reload"),
        ("gunicorn", {"fd": 3, **TLS}, f"{GUNICORN} --bind fd://3 --certfile c --keyfile k"),
        ("gunicorn", TRUSTING, f"{GUNICORN} --forwarded-allow-ips="),
        ("gunicorn", {"proxy_headers": False}, f"{GUNICORN} --forwarded-allow-ips="),
        ("gunicorn", {"extra": ("--bind=unix:/run/x",)}, f"{GUNICORN} --bind=unix:/run/x"),
        ("waitress", {"threads": 7}, f"waitress --listen=127.0.0.1:8000 --threads 7 {APP}"),
        ("waitress", {"extra": ("--ident=x",)}, f"waitress --listen=127.0.0.1:8000 --ident=x {APP}"),
        ("waitress", {"extra": ("--unix-socket=/x",)}, f"waitress --unix-socket=/x {APP}"),
        (
            "waitress",
            TRUSTING,
            f"waitress --listen=127.0.0.1:8000 --no-clear-untrusted-proxy-headers {APP}",
        ),
        ("waitress", {"uds": "/x"}, f"waitress --unix-socket=/x {APP}"),
        ("wsgiref", {"port": 9000}, "bridge.cli.wsgiref 127.0.0.1 9000"),
        ("wsgiref", {"access_log": False}, "bridge.cli.wsgiref 127.0.0.1 8000 --no-access-log"),
    ],
)
def test_command_lines(name: str, asked: dict[str, Any], words: str) -> None:
    wanted = Asked(**asked)
    check(SERVERS[name], wanted)
    check_extra(SERVERS[name], wanted)
    assert arguments(SERVERS[name], wanted) == words.split(" ")


def test_granian_is_given_the_app_by_its_file_and_addresses_for_names() -> None:
    spec = importlib.util.find_spec("bridge")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    app = f"{spec.submodule_search_locations[0]}/cli/served.py:app"
    where = ["--host", "0.0.0.0", "--port", "9000"]
    own = ["granian", app, "--interface", "asgi"]
    assert arguments(SERVERS["granian"], Asked(**EVERYTHING)) == [*own, *where, "--workers", "3", "--reload"]
    assert arguments(SERVERS["granian"], Asked(ssl_certfile="c", access_log=True)) == [
        *(*own, "--ssl-certificate", "c", "--ssl-keyfile", "c", "--access-log")
    ]
    assert arguments(SERVERS["granian"], Asked(host="localhost"))[4:] in (
        ["--host", "127.0.0.1"],
        ["--host", "::1"],
    )
    with pytest.raises(UsageError, match=r"^no such host: "):
        arguments(SERVERS["granian"], Asked(host="no such host"))


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        (
            "uvicorn",
            {"extra": ("--interface", "wsgi")},
            "--interface after -- contradicts what bridge tells uvicorn",
        ),
        ("gunicorn", {"workers": 2, "extra": ("--workers=3",)}, "--workers=3 after -- contradicts"),
        ("gunicorn", {"workers": 2, "extra": ("-w", "3")}, "-w after -- contradicts"),
        ("hypercorn", {"workers": 2, "extra": ("-w3",)}, "-w3 after -- contradicts"),
        (
            "granian",
            {"root_path": "/x", "extra": ("--url-path-prefix", "/y")},
            "--url-path-prefix after -- contra",
        ),
        (
            "daphne",
            {"uds": "/x", "ssl_certfile": "c"},
            "--ssl-certfile: daphne speaks https at a host and port only",
        ),
    ],
)
def test_what_contradicts(name: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_extra(SERVERS[name], Asked(**asked))
    assert str(caught.value).startswith(message)
