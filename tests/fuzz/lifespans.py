"""Lifespans that an ASGI app may run, as data, and the model of the specification ("Lifespan Protocol") for them.

An app does what a plan says, step by step. The model goes through the same plan with a clock of its own, and says what
comes of the startup and of the shutdown, what the app is told, what it may not say, and how often the log tells of it.
"""

import asyncio
import threading
from typing import Any, Literal, NamedTuple

from hypothesis import strategies as st

from bridge import ApplicationError
from bridge.lifespan import SHUTDOWN_LIMIT, SILENCE
from bridge.types import Receive, Scope, Send
from tests.fuzz.values import mostly

__all__ = ["GIVEN_UP", "IDLE", "WAITS", "App", "Model", "Plan", "Step", "plans"]

#: Seconds that an app has to end after its answer, as ``bridge.lifespan`` has it.
LINGER = 5.0
#: Seconds from the end of the startup to the shutdown; and until a server gives up a startup without a limit.
IDLE, GIVEN_UP = 10.25, 1000.0


class Step(NamedTuple):
    """One thing that an app does: ``send``, ``receive``, ``wait`` so many seconds, ``raise``, ``hang``."""

    what: str
    value: Any = None
    #: What ``send()`` raises is not the app's end.
    swallows: bool = False


class Plan(NamedTuple):
    """What an app does, and what the server makes of it."""

    steps: list[Step]
    mode: Literal["auto", "on"] = "auto"
    #: Seconds for the startup; ``None``: any, but the server gives up at ``GIVEN_UP``.
    limit: float | None = None


class PlannedError(Exception):
    """What an app raises."""


# The app.


class App:
    """Does what a plan says, and notes what it is told. What it is asked by HTTP it answers."""

    def __init__(self) -> None:
        self.begin(Plan([]))
        self.running = 0
        self.loop: asyncio.AbstractEventLoop | None = None

    def begin(self, plan: Plan) -> None:
        self.plan = plan
        self.received: list[str] = []
        self.refused: list[int] = []
        self.called = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        self.running += 1
        self.loop = asyncio.get_running_loop()
        self.called.set()
        try:
            for number, step in enumerate(self.plan.steps):
                await self._do(number, step, receive, send)
        finally:
            self.running -= 1

    async def _do(self, number: int, step: Step, receive: Receive, send: Send) -> None:
        if step.what == "receive":
            self.received.append((await receive())["type"])
        elif step.what == "wait":
            await asyncio.sleep(step.value)
        elif step.what == "raise":
            raise step.value
        elif step.what == "hang":
            await asyncio.Event().wait()
        else:
            try:
                await send(step.value)
            except ApplicationError:
                self.refused.append(number)
                if not step.swallows:
                    raise


# The model.


class Model:
    """The server of the specification, and an app on it, as seconds go by.

    ``now`` is the app's time: how far it has come. It stands still where the app waits for longer than it is looked at.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stage = "starting"
        self.now = 0.0
        self.received: list[str] = []
        self.refused: list[int] = []
        #: How the app has ended, once it has.
        self.error: type[BaseException] | None = None
        self.ended = False
        #: The app says that it failed.
        self.failed = False
        self.errors = self.warnings = 0
        self._place = 0
        self._answered = False
        self._stopped_at: float | None = None

    def startup(self, start: float = 0.0) -> tuple[str, float]:
        """What comes of it, and when it is over."""
        self.now = start
        limit = self.plan.limit
        late = GIVEN_UP if limit is None else start + limit
        self._go_on(late)
        self._silent_since(start, limit)
        if self.stage == "running":
            return "running", self.now
        answered_at = self.now
        if not (self._answered or self.ended):
            self.errors += limit is not None
            self._cancel()
            return ("cancelled" if limit is None else "failed"), late
        self.stage = "over"
        over = self._linger() if self.failed else answered_at
        self._cancel()
        if self.failed or self.plan.mode == "on":
            self.errors += 1
            return "failed", over
        return "none", over

    def shutdown(self, start: float) -> tuple[bool, float]:
        """Whether all went well, and when it is over."""
        if self.stage != "running":
            return True, start
        self._answered = False
        self._go_on(start)
        early = self.ended and (self.failed or self.error is not None)
        self.errors += early
        if self.ended:
            return not early, start
        self.stage, self._stopped_at = "stopping", start
        self._go_on(start + SHUTDOWN_LIMIT)
        self._silent_since(start, SHUTDOWN_LIMIT)
        if not (self._answered or self.ended):
            self._cancel()
            self.errors += 1
            return False, start + SHUTDOWN_LIMIT
        over = self.now
        if self._answered:
            self.stage = "over"
            over = self._linger()
        self._cancel()
        well = not self.failed and self.error is None
        self.errors += not well
        return well, over

    def _linger(self) -> float:
        """The app has answered, and has some time for its end."""
        late = self.now + LINGER
        self._go_on(late)
        return self.now if self.ended else late

    def _cancel(self) -> None:
        self.stage, self.ended = "over", True

    def _silent_since(self, start: float, limit: float | None) -> None:
        answered = self._answered or self.ended
        self.warnings += (not answered or self.now - start > SILENCE) and limit != SILENCE

    def _go_on(self, until: float) -> None:
        """As far as the app comes; or until it answers what the server waits for."""
        answered = self._answered
        while not self.ended and self._answered == answered:
            if self._place == len(self.plan.steps):
                self.ended = True
            elif not self._step(self.plan.steps[self._place], until):
                return
            self._place += 1

    def _step(self, step: Step, until: float) -> bool:
        if step.what == "wait":
            if self.now + step.value > until:
                return False
            self.now += step.value
        elif step.what == "receive":
            if not self.received:
                self.received.append("lifespan.startup")
            elif len(self.received) == 1 and self._stopped_at is not None:
                self.now = max(self.now, self._stopped_at)
                self.received.append("lifespan.shutdown")
            else:
                return False
        elif step.what == "send":
            if not self._take(step.value):
                self.refused.append(self._place)
                if not step.swallows:
                    self._end(ApplicationError)
        elif step.what == "raise":
            self._end(step.value)
        else:
            return False
        return True

    def _end(self, error: type[BaseException]) -> None:
        self.ended = True
        # Who is cancelled has no error.
        self.error = None if error is asyncio.CancelledError else error

    def _take(self, message: Any) -> bool:
        """Whether the app may send it now."""
        kind = message.get("type") if isinstance(message, dict) else None
        match self.stage, kind:
            case "starting", "lifespan.startup.complete":
                self.stage = "running"
            case "starting", "lifespan.startup.failed":
                self.stage, self.failed = "over", True
            case "stopping", "lifespan.shutdown.complete":
                self.stage = "over"
            case "stopping", "lifespan.shutdown.failed":
                self.stage, self.failed = "over", True
            case "running", "lifespan.shutdown.failed":
                # Starlette says so of a lifespan that fails before its shutdown: nobody waits for it.
                self.failed = True
                return True
            case "starting", "http.response.start" | "websocket.close":
                # An app that does not look at the type of its scope: it has no lifespan.
                self.stage = "over"
                self._answered = True
                return False
            case _:
                return False
        self._answered = True
        return True


# What is drawn.

_EVENTS = ("startup.complete", "startup.failed", "shutdown.complete", "shutdown.failed")
_answers = st.builds(
    lambda kind, more: {"type": f"lifespan.{kind}", **more},
    st.sampled_from(_EVENTS),
    st.fixed_dictionaries({}, optional={"message": st.sampled_from(["", "why", None, 5])}),
)
_odd = st.sampled_from(
    [
        *({"type": kind} for kind in ("http.response.start", "websocket.close", "lifespan.startup", None, 5)),
        *({}, None, "lifespan.startup.complete"),
    ]
)
_sends = st.builds(
    lambda message, swallows: Step("send", message, swallows), mostly(_answers, _odd), st.booleans()
)
_ends = st.sampled_from([PlannedError, asyncio.CancelledError]).map(lambda error: Step("raise", error))
#: Seconds that an app waits. No sum of them is a limit of the server's.
WAITS = (0, 1.5, 21, 101)


@st.composite
def _lifespans(draw: st.DrawFn, steps: st.SearchStrategy[Step]) -> list[Step]:
    """A lifespan as it should be, with what should not be in it at one or two places."""
    right = [
        Step("receive"),
        Step("send", {"type": "lifespan.startup.complete"}),
        Step("receive"),
        Step("send", {"type": "lifespan.shutdown.complete"}),
    ]
    for step in draw(st.lists(steps, max_size=2)):
        right.insert(draw(st.integers(0, len(right))), step)
    if draw(st.integers(0, 3)) == 3:
        del right[draw(st.integers(0, len(right) - 1))]
    return right


def plans(waits: tuple[float, ...]) -> st.SearchStrategy[Plan]:
    """``waits``: how long an app may wait at a time."""
    steps = st.one_of(
        *(_sends, _sends, _ends),
        st.sampled_from([Step("receive"), Step("hang"), *(Step("wait", seconds) for seconds in waits)]),
    )
    return st.builds(
        Plan,
        mostly(_lifespans(steps), st.lists(steps, max_size=7)),
        st.sampled_from(["auto", "on"]),
        st.sampled_from([None, 60.0]),
    )
