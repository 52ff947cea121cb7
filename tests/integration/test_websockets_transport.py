"""WebSockets of WSGI apps over TLS and over unix sockets."""

import json
import ssl
from pathlib import Path

import pytest
from websockets.sync.client import unix_connect

from tests.conftest import StartServer
from tests.support.server_kinds import WEBSOCKET_SERVERS
from tests.support.servers import SERVERS
from tests.support.websocket_client import HANG, WEBSOCKETS, connect, websocket_url


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("uvicorn-h11", ("--ssl-certfile", "--ssl-keyfile")),
        ("uvicorn-wsproto", ("--ssl-certfile", "--ssl-keyfile")),
        ("hypercorn", ("--certfile", "--keyfile")),
        ("granian-ws", ("--ssl-certificate", "--ssl-keyfile")),
    ],
)
def test_tls(
    name: str, words: tuple[str, str], start_server: StartServer, certificate: tuple[Path, Path, Path]
) -> None:
    chain, key, root = certificate
    secured = start_server(name, WEBSOCKETS, arguments=(words[0], str(chain), words[1], str(key)))
    trust = ssl.create_default_context(cafile=root)
    url = websocket_url(secured, "/environ/x").replace("ws:", "wss:")
    with connect(secured, url, ssl=trust) as client:
        environ = json.loads(client.recv(HANG))
        client.send("enough")
    assert environ["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize("name", [name for name in WEBSOCKET_SERVERS if SERVERS[name].unix])
def test_unix_socket(name: str, start_server: StartServer) -> None:
    listening = start_server(name, WEBSOCKETS, unix=True)
    with unix_connect(str(listening.unix_path), "ws://named.example/environ/x") as client:
        environ = json.loads(client.recv(HANG))
        client.send("enough")
    assert environ["HTTP_HOST"] == "named.example"
