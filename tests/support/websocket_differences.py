"""In what the servers differ in WebSocket, whatever the app; the tests hold each of them to it.

Most are shown with bridge and with a native ASGI app beside it. What is called native here is so for the native app
alone: bridge makes up for it.
"""

__all__ = ["DIFFERENCES", "differs"]


#: What differs: the servers, and what they do instead.
DIFFERENCES: dict[str, dict[str, str]] = {
    "empty messages": {
        "daphne": "its send() takes an empty message for none, and sends nothing",
    },
    "headers of accept": {
        "granian-ws": "it sends none of the app's",
        "daphne": "it sends none of the app's",
    },
    "code of the app's close": {
        "daphne": "native: autobahn raises for codes below 3000 other than 1000; then daphne closes with 1011",
    },
    "reason of the app's close": {
        "daphne": "native: it sends none",
    },
    "code of the client's close": {
        "hypercorn": "it says 1006 to the app, whatever the client sent",
    },
    "reason of the client's close": {
        "hypercorn": "it passes none on",
        "granian-ws": "it passes none on",
        "daphne": "it passes none on",
    },
    "code of a client that vanished": dict.fromkeys(
        ("uvicorn-h11", "uvicorn-httptools", "uvicorn-wsproto", "granian-ws"), "1005 instead of 1006"
    ),
    "denial by a response": {
        "daphne": "it does not offer the extension; its clients get 403",
    },
    "bounded sending": {
        "daphne": "its send() takes whatever the app sends, and keeps it for a client that does not read",
    },
    "bounded receiving": {
        "daphne": "it reads whatever the client sends, and keeps it for an app that does not receive",
    },
    # uvicorn sends 1012. When the app learns of a shutdown, these have closed their connections already.
    "close at shutdown": {
        "hypercorn": "1011, when its graceful timeout has passed",
        "granian-ws": "none: it ends the connections, and itself at once",
        "daphne": "none: it ends the connections",
    },
    "time at shutdown": {
        "daphne": "it has no lifespan: its process ends without a word to the app, whose threads end with it",
    },
    "messages before the handshake": {
        "hypercorn": "the client's connection gets 400, and the app is never told that it is gone",
    },
    "error before the handshake": {
        "granian-ws": "403 instead of 500",
    },
}


def differs(what: str, server: str) -> bool:
    """Whether ``server`` is in the table for ``what``, which has to be one of its entries."""
    return server in DIFFERENCES[what]
