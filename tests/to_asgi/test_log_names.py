"""What the log says when the server or the bridge fails: it names the request."""

import asyncio
from collections.abc import Iterable

import pytest

from bridge.mapping.environ import build_environ
from bridge.threads.jobs import After, run_job
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.call import WsgiCall
from bridge.to_asgi.channel import Channel
from bridge.to_asgi.watch import until_disconnect
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import Exchange, http_scope, request
from tests.support.served import Served

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

PATH = "/a\nb"
NAME = "POST '/a\\nb'"


def reads(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    try:
        environ["wsgi.input"].read()
    except OSError:
        start_response("400 Bad Request", [])
    return []


def test_a_server_whose_receive_raises_when_the_body_is_there(caplog: pytest.LogCaptureFixture) -> None:
    async def receive() -> Message:
        raise LookupError("against the rule")

    assert not asyncio.run(until_disconnect(receive, http_scope("POST", PATH)))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{NAME}: receive() of the ASGI server raised")
    assert record.exc_info


def test_a_server_whose_receive_raises_within_the_body(caplog: pytest.LogCaptureFixture) -> None:
    events = [request(b"more than a few bytes", more_body=True)]
    sent: list[Message] = []

    async def receive() -> Message:
        if not events:
            raise LookupError("against the rule")
        return events.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        async with Served(reads, request_body="stream", request_buffer=4) as adapter:
            await adapter(http_scope("POST", PATH), receive, send)

    asyncio.run(main())
    assert sent[0]["status"] == 400
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{NAME}: receive() of the ASGI server raised; the request body")


def test_a_disk_that_takes_no_body(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    events = [request(b"more than a few bytes", more_body=True), request()]

    async def main() -> Exchange:
        async with Served(reads, request_buffer=4) as adapter:
            return await Exchange(adapter, http_scope("POST", PATH, raw_path=b"/a%0Ab"), events).run()

    exchange = asyncio.run(main())
    assert exchange.status == 507
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{NAME}: the request body can't be kept")


def test_a_job_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(WsgiCall):
        def run(self) -> After:
            raise SystemExit(3)

    async def main() -> None:
        channel = Channel(Mailbox(asyncio.get_running_loop()), 1)
        environ = build_environ(http_scope("POST", PATH)) | {"wsgi.input": None}
        assert run_job(Bad(reads, environ, channel, None, None)) is None

    asyncio.run(main())
    (record,) = caplog.records
    assert record.getMessage().startswith(f"a job raised, which is a fault of the bridge: <Bad {NAME}>")
