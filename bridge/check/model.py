"""The data that the parts of the check hand to one another: requests, answers, what the app itself saw and did."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..cli.target import AppKind

__all__ = ["Answer", "Plan", "Record", "Request", "Route", "Run", "label"]

Origin: TypeAlias = Literal["built-in", "route", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, as it goes over the wire. Texts of the wire are latin-1."""

    method: str = "GET"
    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    """Without Host, Cookie and what frames the body, which are the client's; a Host given here is sent instead."""
    body: bytes = b""
    chunks: int = 0
    """In how many pieces the body goes out with ``Transfer-Encoding: chunked``; 0: with ``Content-Length``."""
    version: str = "HTTP/1.1"
    break_off: bool = False
    """The client leaves when half of the body is sent."""
    note: str = ""
    """What is special about it."""
    origin: Origin = "built-in"

    @property
    def safe(self) -> bool:
        """By RFC 9110, section 9.2.1: it asks for no change."""
        return self.method in {"GET", "HEAD", "OPTIONS", "TRACE"}


def label(request: Request) -> str:
    """A request as people read it: method, target, and what is special about it."""
    target = request.target if len(request.target) <= 50 else request.target[:47] + "..."
    return f"{request.method} {target}" + (f" ({request.note})" if request.note else "")


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came back for one request. Times are seconds of the system's monotonic clock."""

    status: int = 0
    """0: there was no answer; ``error`` says why."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False
    """The end of the body was seen."""
    left: Literal["", "time", "size"] = ""
    """Why the client left before the end: it had read for long enough, or enough."""
    error: str = ""
    sent_at: float = 0.0
    first_at: float | None = None
    """When the first byte of the body was there."""
    ended_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Record:
    """What the probe in the served process saw of one request: the app's side of it."""

    peer: str = ""
    """The client's address, as the app is told."""
    scheme: str = ""
    raised: str = ""
    """What the app raised, in a line."""
    status: int = 0
    first_made: float | None = None
    last_made: float | None = None
    """When the app made the first and the last piece of its body, by the system's monotonic clock."""
    after: float = 0.0
    """Seconds that the app worked on after its response was complete."""
    file: bool = False
    """The app has answered with ``wsgi.file_wrapper`` or ``http.response.pathsend``."""
    ended: bool = False
    """The app's call is over."""
    ended_at: float = 0.0
    """When it was, by the system's monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route of the app."""

    path: str
    """With its parameters filled in."""
    methods: tuple[str, ...] = ("GET",)
    websocket: bool = False


@dataclass(slots=True, kw_only=True)
class Run:
    """All that one server's run has brought."""

    server: str
    answers: list[Answer] = field(default_factory=list)
    records: dict[int, Record] = field(default_factory=dict)
    """By the request's number; what is missing never reached the app."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """What else the probe wrote down: broken rules, log lines, measures. See ``recorder``."""
    times: dict[int, list[float]] = field(default_factory=dict)
    """By the request's number, the seconds that each of its repetitions took."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What is checked, and how."""

    app: str
    factory: bool = False
    app_dir: str = ""
    """Where its module is looked for before the current folder; absolute. Empty: nowhere."""
    kind: AppKind
    native: str
    bridged: str
    requests: list[Request] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    loop: str | None = None
    """``loop=`` of ``AsgiToWsgi``; None for its default, or the user's own adapter."""
    one_loop: bool = False
    """Whether ``AsgiToWsgi`` has one loop for all requests, by that or by the user's own adapter."""
    directory: str = "."
    cookies: dict[str, str] = field(default_factory=dict)
    """What the client begins with."""
