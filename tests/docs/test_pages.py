"""Each page of docs/ does what it says; ``tests.support.pages`` has the rules."""

from pathlib import Path

import pytest
import websockets.sync.client

from tests.layers import drawing
from tests.support.pages import DOCS, Page, blocks

#: These have tests of their own: the one with a client for WebSocket, the other with Ray.
APART = {"websocket", "ray"}
PAGES = sorted(path for path in DOCS.rglob("*.md") if "```" in path.read_text() and path.stem not in APART)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_a_page_does_what_it_says(path: Path, page: Page) -> None:
    page.work_all(path)


def test_the_websocket_page_echoes(page: Page) -> None:
    page.work_all(DOCS / "guides/websocket.md")
    assert page.server is not None
    with websockets.sync.client.connect(f"ws://127.0.0.1:{page.server.port}/echo") as websocket:
        for message in ("text", b"binary"):
            websocket.send(message)
            assert websocket.recv(timeout=30) == message


def test_the_drawing_of_the_layers_is_that_of_the_code() -> None:
    (layers, *_) = [block.text for block in blocks(DOCS / "how-it-works.md") if block.language == "text"]
    assert layers == f"{drawing()}\n", "python -m tests.layers --drawing"


def test_every_block_is_seen() -> None:
    for path in PAGES:
        assert path.read_text().count("\n```") == 2 * len(blocks(path)), path
