"""A server's own root path in the forms that users write: with a slash at its end, as ``/``, without one in front.

Servers make of it what they like (see ``test_paths_at_home``); each app of a site finds its place and its URLs.
"""

from urllib.parse import urlsplit

import pytest

from tests.conftest import StartServer
from tests.integration.apps.dispatched import MOUNTS

SITE = "tests.integration.apps.dispatched:app"

# The server, its arguments, its environment; what stands in front of the path, and what the apps see as their root.
ROOTS: list[tuple[str, tuple[str, ...], dict[str, str], str, str]] = [
    ("uvicorn-h11", ("--root-path", "/site/"), {}, "", "/site"),
    ("uvicorn-httptools", ("--root-path", "/"), {}, "", ""),
    ("uvicorn-h11", ("--root-path", "site"), {}, "", "/site"),
    ("hypercorn", ("--root-path", "/site/"), {}, "", "/site"),
    ("hypercorn", ("--root-path", "/site/"), {}, "/site", "/site"),
    ("hypercorn", ("--root-path", "/"), {}, "", ""),
    ("daphne", ("--root-path", "/site/"), {}, "", "/site"),
    ("daphne", ("--root-path", "/"), {}, "", ""),
    ("granian", ("--url-path-prefix", "/site/"), {}, "/site", "/site"),
    ("granian", ("--url-path-prefix", "/"), {}, "", ""),
    ("gunicorn-sync", (), {"SCRIPT_NAME": "/site/"}, "/site", "/site"),
    ("gunicorn-gthread", (), {"SCRIPT_NAME": "/"}, "", ""),
    ("granian-wsgi", ("--url-path-prefix", "/site/"), {}, "/site", "/site"),
    ("waitress", ("--url-prefix", "/site/"), {}, "/site", "/site"),
    ("waitress", ("--url-prefix", "/"), {}, "", ""),
]


@pytest.mark.parametrize(("server", "arguments", "environ", "front", "root"), ROOTS)
def test_each_app_finds_its_place_and_its_urls(
    start_server: StartServer,
    server: str,
    arguments: tuple[str, ...],
    environ: dict[str, str],
    front: str,
    root: str,
) -> None:
    running = start_server(server, SITE, arguments=arguments, environ=environ)
    with running.client() as client:
        for mount, framework in MOUNTS.items():
            # At the root of the site an app gets what the server has, as at home; of the other kind, it is put right.
            if not mount and running.kind.interface == "wsgi":
                continue
            answer = client.get(f"{front}{mount}/where/7").raise_for_status().json()
            told = (answer["framework"], answer["root"], answer["path"], urlsplit(answer["url"]).path)
            assert told == (framework, f"{root}{mount}", "/where/7", f"{root}{mount}/where/7")
