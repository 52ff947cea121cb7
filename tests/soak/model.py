"""What each answer must be: to the byte, or one of a set of outcomes.

    A client that is there to the end, and keeps to HTTP     the one right answer
    an error before the head is out                          a whole 500
    an error in the middle                                   never what looks like a whole answer
    a client that leaves, or sends garbage                   anything that is not wrong
    a server that is being ended, or has nothing left        the right answer, a whole error, or none

Whatever is allowed, a byte of the body that is another one than the app's is always wrong, and so is the head of an
answer, whole or not, with a header that is not the app's, the bridge's, or one that a server may add (``heads``).
"""

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from .heads import Head, Headers, beside, of_accept, of_app, of_bridge, of_error
from .scenarios import App, Client, Place, Scenario, content

__all__ = [
    "ACCEPT", "DENIAL", "ENDING", "HEAD", "UNREAD", "UTF_8", "WORKER",
    "Complaint", "Expected", "Loss", "Outcome", "Seen", "expected", "judge", "messages",
]  # fmt: skip

#: Faults of ``tests.support.faults`` with which a client may be left without an answer, and sees it.
HEAD, UNREAD = "beginning of a response that fails", "answer before the body is read"
WORKER = "end of a worker beside an error of a connection"
#: With it, a request over HTTP/2 that outlasts the server's end has the beginning of a 500, and no more.
ENDING = "shutdown beside a request, on a stream"
#: With them, the head of a WebSocket has nothing of the app's, and that of a refused one something of an open one's.
ACCEPT, DENIAL = "headers of accept", "head of a denial by a response"
#: With it, the one of its headers that is not ASCII comes in another encoding.
UTF_8 = "header of an answer to a handshake"


class Outcome(enum.Flag):
    """How a request may end for its client."""

    RIGHT = enum.auto()
    #: Not whole, and seen not to be; what came is the beginning of the right answer.
    CUT = enum.auto()
    #: A 4xx of the server, or of the adapter.
    REFUSED = enum.auto()
    #: A 5xx.
    ERROR = enum.auto()
    #: No answer, and the connection has ended.
    NOTHING = enum.auto()
    #: No answer, or the beginning of a server's own error, and the connection is open.
    KEPT = enum.auto()


_ANY = Outcome.RIGHT | Outcome.CUT | Outcome.REFUSED | Outcome.ERROR | Outcome.NOTHING


class Loss(enum.Enum):
    """What is lost, as reports and the table of the peers name it."""

    WRONG_BYTES = "another answer than the app's"
    WRONG_HEAD = "another head than the app's"
    LOOKS_WHOLE = "half an answer that looks whole"
    NO_ANSWER = "no answer, or half of one"
    WRONG_ERROR = "an error where there is none, or another one"
    HANGS = "an answer that never ends"
    UPLOAD = "half an upload taken for whole"
    LEFT = "calls, iterables, tasks, threads, descriptors or files left"
    CLOSED = "an iterable closed again, elsewhere, or in another context"
    MEMORY = "memory that grows with each request"
    LOG = "a log line that nobody expects"
    SERVER = "a server that does not start, or does not end"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client got for one request. A WebSocket's messages are its body; it is complete if its end was right."""

    status: int | None
    body: bytes = b""
    complete: bool = False
    timed_out: bool = False
    note: str = ""
    headers: Headers = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    status: int
    body: bytes
    outcomes: Outcome
    heads: Mapping[int | None, Head]
    """By the status. ``None``: of any other one."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something is not as it should be. Without a scenario it is about the whole run."""

    loss: Loss
    text: str
    scenario: Scenario | None = None
    number: int = 1
    """How often, or how many."""

    def __str__(self) -> str:
        return f"{self.loss.value}: {self.text}" + (f"\n    {self.scenario}" if self.scenario else "")


#: What the app makes of it: the status, and how the answer ends.
_WHOLE = (200, Outcome.RIGHT)
#: Nothing is out before the error: PEP 3333, "The start_response() Callable"; ASGI allows the same, and servers do it.
_BEFORE = (200, Outcome.ERROR)
#: The client has a part of it, or the server had not sent it yet.
_MIDDLE = (200, Outcome.CUT | Outcome.ERROR)
_ENDS: dict[App, tuple[int, Outcome]] = {
    App.EMPTY: (204, Outcome.RIGHT),
    App.REPLACE: (203, Outcome.RIGHT),
    App.ENDLESS: (200, Outcome.CUT),
    App.FAIL_BEFORE: _BEFORE,
    App.FAIL_ODD: _BEFORE,
    App.FAIL_STARTED: _BEFORE,
    App.NO_ANSWER: _BEFORE,
    App.WRONG_TYPE: _BEFORE,
    App.FAIL_MIDDLE: _MIDDLE,
    App.SHORT: _MIDDLE,
    App.SOCKET_ECHO: (101, Outcome.RIGHT),
    App.SOCKET_FAIL: (101, Outcome.RIGHT),
    App.SOCKET_REFUSE: (418, Outcome.RIGHT),
}
#: Who may not have seen what there was to see.
_LEAVES = {
    Client.LEAVE_IN_REQUEST, Client.LEAVE_BEFORE_ANSWER, Client.LEAVE_IN_ANSWER, Client.RESET_IN_ANSWER,
}  # fmt: skip
#: Who says how long the body is.
_PROMISE = {
    App.PLAIN, App.SIZED, App.ECHO, App.DIGEST, App.READ_TWICE, App.READ_HALF, App.FAIL_AFTER, App.SHORT,
    App.WORK_AFTER, App.LEFT_BEHIND, App.SOCKET_REFUSE,
}  # fmt: skip
_READS_ALL = {App.ECHO, App.DIGEST, App.READ_TWICE}
#: More bytes of an endless answer than any client takes.
_ENDLESS = 1 << 20
_SOCKETS = {App.SOCKET_ECHO, App.SOCKET_FAIL, App.SOCKET_REFUSE}


def expected(scenario: Scenario, place: Place, *, disturbed: bool = False) -> Expected:
    """The answer to ``scenario``.

    Args:
        place: on a WSGI server a body that nobody reads may cost its client the answer: the server closes with bytes
            unread, and the kernel resets. On an ASGI server the bridge reads it, but for its stream mode.
        disturbed: the server was reloaded, ended, killed, or without descriptors or space, while it ran.
    """
    work = scenario.work
    status, outcomes = _ENDS.get(work.app, _WHOLE)
    if place.direction == "asgi" and work.app in _SOCKETS:
        status, outcomes = 501, Outcome.ERROR
    if disturbed or scenario.client in _LEAVES or scenario.client is Client.GARBAGE:
        outcomes |= _ANY if outcomes & Outcome.RIGHT else _ANY & ~Outcome.RIGHT
        if disturbed and place.faults & {WORKER, ENDING}:
            outcomes |= Outcome.KEPT
    elif scenario.client is Client.HALF_CLOSE:
        # Many servers take the end of what a client sends for its leaving; that is theirs to decide.
        outcomes |= Outcome.CUT | Outcome.NOTHING
    elif scenario.client is Client.GARBAGE_CHUNK:
        outcomes |= Outcome.REFUSED | Outcome.ERROR | Outcome.CUT | Outcome.NOTHING
        if work.app in _READS_ALL:
            outcomes &= ~Outcome.RIGHT
    elif work.up and work.app not in _READS_ALL and (place.direction == "asgi" or UNREAD in place.faults):
        outcomes |= Outcome.CUT | Outcome.NOTHING
    if outcomes & Outcome.CUT and HEAD in place.faults:
        outcomes |= Outcome.NOTHING
    body = _body(scenario)
    return Expected(status, body, outcomes, _heads(scenario, place, status, body))


def _heads(scenario: Scenario, place: Place, status: int, body: bytes) -> dict[int | None, Head]:
    """The app's own, those that the bridge gives, and any other error's, which has nothing of the app in it."""
    work, http2 = scenario.work, place.http2
    names = beside(http2=http2)
    heads: dict[int | None, Head] = {None: of_error(names), 507: of_bridge(names)}
    if status == 501:
        heads[status] = of_bridge(names)
    elif status == 101:
        sent = of_accept(work.index) if work.app is App.SOCKET_FAIL and ACCEPT not in place.faults else ()
        heads[status] = Head(sent, beside(http2=http2, handshake=True, body=False))
    else:
        promised = len(body) + (work.app is App.SHORT) if work.app in _PROMISE else None
        # ASGI has no reason: it is the bridge's on a WSGI server, and a server's own on an ASGI server.
        reason = HTTPStatus(status).phrase if place.direction == "asgi" else None
        denied = work.app is App.SOCKET_REFUSE and DENIAL in place.faults
        names = beside(http2=http2, handshake=denied, body=status != 204)
        heads[status] = Head(of_app(work.index, promised), names, reason)
    if work.app in _SOCKETS and UTF_8 in place.faults:
        head = heads[status]
        known = [(name, value) for name, value in head.headers if value.isascii()]
        heads[status] = replace(head, headers=known, beside=head.beside | {"x-soak"})
    return heads


def _body(scenario: Scenario) -> bytes:
    work = scenario.work
    if work.app in {App.EMPTY, App.SOCKET_FAIL}:
        return b""
    if work.app is App.ENDLESS:
        return content(work.index, _ENDLESS)
    if work.app is App.SOCKET_ECHO:
        return b"".join(messages(scenario))
    if work.app in {App.ECHO, App.READ_TWICE}:
        return content(work.index, work.up)
    if work.app is App.DIGEST:
        return hashlib.sha256(content(work.index, work.up)).hexdigest().encode()
    return content(work.index, work.down)


def messages(scenario: Scenario) -> list[bytes]:
    """What the client of an echoing WebSocket sends, and gets back."""
    return [content(scenario.index, size) for size in (1, scenario.work.down, 100)]


def judge(scenario: Scenario, seen: Seen, right: Expected) -> Complaint | None:
    """What is wrong with ``seen``, if anything."""
    outcome = _outcome(seen, right)
    if seen.timed_out and not (outcome is Outcome.KEPT and outcome & right.outcomes):
        return Complaint(Loss.HANGS, f"nothing more came after {_describe(seen)}", scenario)
    if outcome is None:
        return Complaint(Loss.WRONG_BYTES, f"{_describe(seen)}; right is {_describe_right(right)}", scenario)
    if outcome & right.outcomes:
        head = right.heads.get(seen.status, right.heads[None])
        fault = "" if seen.status is None else head.fault(seen.headers, seen.reason)
        return Complaint(Loss.WRONG_HEAD, f"status {seen.status}: {fault}", scenario) if fault else None
    if outcome is Outcome.RIGHT:
        loss = Loss.LOOKS_WHOLE
    elif outcome in Outcome.CUT | Outcome.NOTHING:
        loss = Loss.NO_ANSWER
    else:
        loss = Loss.WRONG_ERROR
    return Complaint(loss, f"{_describe(seen)}; allowed is {right.outcomes.name}", scenario)


def _outcome(seen: Seen, right: Expected) -> Outcome | None:
    """``None``: it is wrong, whatever is allowed."""
    if seen.timed_out and (seen.status is None or (seen.status == 500 and not seen.body)):
        return Outcome.KEPT
    if seen.status is None:
        return Outcome.NOTHING
    if seen.status == right.status:
        if seen.complete and seen.body == right.body:
            return Outcome.RIGHT
        if not seen.complete and right.body.startswith(seen.body):
            return Outcome.CUT
    if 400 <= seen.status < 500:
        return Outcome.REFUSED
    if seen.status >= 500 and (seen.status != right.status or Outcome.RIGHT not in right.outcomes):
        return Outcome.ERROR if seen.complete else Outcome.CUT
    if seen.complete and seen.status == right.status == 200 and Outcome.RIGHT not in right.outcomes:
        return Outcome.RIGHT  # as it seems, of an answer that could not become whole
    return None


def _describe(seen: Seen) -> str:
    whole = "whole" if seen.complete else "not whole"
    parts = [f"status {seen.status}, {len(seen.body)} bytes ({seen.body[:40]!r}...), {whole}", seen.note]
    return "; ".join(part for part in parts if part)


def _describe_right(right: Expected) -> str:
    return f"status {right.status}, {len(right.body)} bytes ({right.body[:40]!r}...)"
