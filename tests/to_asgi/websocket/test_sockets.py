"""All WebSockets of an adapter: their threads, and those that are too many."""

import asyncio

import pytest

import bridge
from bridge.types import Environ, StartResponse
from tests.support.served import Served
from tests.support.websockets import (
    closing,
    connect,
    disconnect,
    echo,
    handler,
    serve,
)
from tests.support.wsgi_apps import get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def test_sockets_do_not_take_the_threads_of_requests() -> None:
    async def main() -> None:
        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            if "wsgi.websocket" in environ:
                echo(environ["wsgi.websocket"])
                return []
            return list(hello(environ, start_response))

        async with Served(app, threads=2) as adapter:
            exchanges = [connect(adapter) for _ in range(10)]
            for exchange in exchanges:
                await exchange.__aenter__()
                await exchange.wait_for("websocket.accept")
            response = await get(adapter).run()
            assert response.status == 200
            for exchange in exchanges:
                exchange.feed(disconnect())
                await exchange.__aexit__(None, None, None)

    asyncio.run(main())


@pytest.mark.parametrize("denial", [True, False])
def test_one_socket_too_many(denial: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Served(handler(echo), websocket_threads=1) as adapter, connect(adapter) as first:
            await first.wait_for("websocket.accept")
            second = await connect(adapter, denial=denial).run()
            if denial:
                assert second.messages[0]["status"] == 503
                assert (b"retry-after", b"1") in second.messages[0]["headers"]
                assert second.messages[-1]["type"] == "websocket.http.response.body"
            else:
                assert second.messages[0]["type"] == "websocket.accept"
                assert closing(second)[0] == 1013
            first.feed(disconnect())

    asyncio.run(main())
    assert any("as websocket_threads allows: 1" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("options", [{"websocket_threads": 0}, {"threads": 1}])
def test_an_adapter_without_threads_for_them(
    options: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """An app that is not thread-safe has one thread, which a WebSocket would hold."""
    assert closing(serve(handler(echo), options=options)) == (1000, "")
    exchange = serve(handler(echo), options=options, denial=True)
    assert exchange.messages[0]["status"] == 403
    assert any("no threads" in record.getMessage() for record in caplog.records)


def test_a_number_of_threads_that_is_none() -> None:
    with pytest.raises(ValueError, match="websocket_threads is -1"):
        bridge.WsgiToAsgi(hello, websocket_threads=-1)


def test_a_path_that_is_none() -> None:
    exchange = serve(handler(echo), path="ftp//x", denial=True)
    assert exchange.messages[0]["status"] == 400
