"""What an ASGI application answers to its lifespan's events: in order, once, and in the right form."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.errors import ApplicationError, LifespanError
from bridge.lifespan import Lifespan
from bridge.types import Receive, Scope, Send


@pytest.mark.parametrize("kind", ["lifespan.shutdown.complete", "other", "lifespan.startup.complete"])
def test_what_is_out_of_order_is_refused(kind: str) -> None:
    errors: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if kind == "lifespan.startup.complete":
            await send({"type": kind})
        with pytest.raises(ApplicationError, match=kind) as caught:
            await send({"type": kind})
        errors.append(str(caught.value))
        if kind != "lifespan.startup.complete":
            await send({"type": "lifespan.startup.complete"})
        await receive()

    async def main() -> None:
        lifespan = Lifespan(app, "on")
        await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(main(), debug=True)
    assert len(errors) == 1


def answers(startup: list[Any], shutdown: list[Any], refused: list[Any]) -> Callable[..., Awaitable[None]]:
    """An app that answers with these messages, and notes which of them it may not send."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for messages in (startup, shutdown):
            await receive()
            for message in messages:
                try:
                    await send(message)
                except ApplicationError:
                    refused.append(message)

    return app


def event(kind: str, **more: object) -> dict[str, object]:
    return {"type": f"lifespan.{kind}", **more}


@pytest.mark.parametrize(
    ("first", "then"),
    [("failed", "complete"), ("failed", "failed"), ("complete", "failed"), ("complete", "complete")],
)
def test_the_first_answer_counts(first: str, then: str) -> None:
    """As on uvicorn: an app that failed can't take it back, and one that is done can't fail any more."""
    refused: list[Any] = []

    async def main() -> None:
        lifespan = Lifespan(
            answers([event(f"startup.{first}"), event(f"startup.{then}")], [], refused), "auto"
        )
        if first == "failed":
            with pytest.raises(LifespanError, match="startup failed"):
                await lifespan.startup()
        else:
            await lifespan.startup()
            await lifespan.shutdown()
        assert refused.pop() == event(f"startup.{then}")

        shutdown = [event(f"shutdown.{first}"), event(f"shutdown.{then}")]
        lifespan = Lifespan(answers([event("startup.complete")], shutdown, refused), "auto")
        await lifespan.startup()
        assert await lifespan.shutdown() is (first == "complete")
        assert refused == [event(f"shutdown.{then}")]

    asyncio.run(main(), debug=True)


@pytest.mark.parametrize("message", [None, "", 0])
def test_a_failure_without_a_word_is_one(message: object, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        lifespan = Lifespan(answers([event("startup.failed", message=message)], [], []), "auto")
        with pytest.raises(LifespanError, match="does not say why"):
            await lifespan.startup()
        failed = [event("shutdown.failed", message=message)]
        lifespan = Lifespan(answers([event("startup.complete")], failed, []), "auto")
        await lifespan.startup()
        assert not await lifespan.shutdown()

    asyncio.run(main(), debug=True)
    assert caplog.text.count("failed: it does not say why") == 2


@pytest.mark.parametrize("message", [None, {}, "lifespan.startup.complete", {"type": None}])
def test_what_is_no_message_is_refused(message: Any) -> None:
    refused: list[Any] = []

    async def main() -> None:
        startup = [message, event("startup.complete")]
        lifespan = Lifespan(answers(startup, [event("shutdown.complete")], refused), "on")
        await lifespan.startup()
        assert await lifespan.shutdown()

    asyncio.run(main(), debug=True)
    assert refused == [message]
