"""The kinds of findings, each with what people are told of it: what it is, why it matters, what to do."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["KINDS", "NOTES", "Finding", "Kind", "Level"]

Level: TypeAlias = Literal["differs", "rule", "risk"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding. ``level``: "differs": it was seen to; "rule": the app breaks one; "risk": it will show under
    load, or later."""

    level: Level
    what: str
    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something of a kind, at one place or at several."""

    kind: str
    """A key of ``KINDS``."""
    subject: str = ""
    """Which header, which global, which rule."""
    where: tuple[str, ...] = ()
    """The requests that show it."""
    native: str = ""
    bridged: str = ""
    """What was seen on either side."""

    @property
    def about(self) -> Kind:
        return KINDS[self.kind]


KINDS: dict[str, Kind] = {
    "answer": Kind(
        "differs",
        "One side does not answer",
        "The client gets no response where it got one before, or the other way about.",
        "Look into the server's log for this request; an app that waits for another request of its own needs threads.",
    ),
    "status": Kind(
        "differs",
        "The status differs",
        "Clients go by it.",
        "If an exception is shown beside it, the app raised it there: mend that first.",
    ),
    "refused": Kind(
        "differs",
        "One side refuses the request before the app sees it",
        "The servers, or the bridge, read the request differently; the app can't change that.",
        "If clients send such requests, choose a server that takes them, or have them sent otherwise.",
    ),
    "header": Kind(
        "differs",
        "A header differs",
        "Clients, caches and proxies go by it.",
        "See what the app makes it from: keys of the environ or the scope that one side alone has, or who serves.",
    ),
    "cookie": Kind(
        "differs",
        "A cookie differs",
        "A session or a preference may be lost at the switch.",
        "See what the app makes it from.",
    ),
    "body": Kind(
        "differs",
        "The body differs",
        "The client gets other content.",
        "Compare both texts; what comes from the environ or the scope may have another form on this side.",
    ),
    "cut": Kind(
        "differs",
        "A response is whole natively and cut off through the bridge",
        "The client loses its end.",
        "An exception beside it says why; a body that is not as long as its Content-Length is cut, too.",
    ),
    "whole": Kind(
        "differs",
        "A response that breaks off natively looks whole through the bridge",
        "A client or a cache takes half of it for all of it.",
        "Serve it on a server that cuts the connection (gunicorn, waitress, uvicorn), or send a Content-Length.",
    ),
    "stream": Kind(
        "differs",
        "A stream is held back",
        "Events and progress come all at once at the end, or never.",
        "Look for middleware that gathers the body, or a server that buffers; the bridge sends each piece at once.",
    ),
    "left": Kind(
        "differs",
        "The app isn't told that its client has left",
        "It works on for nobody, and holds its thread.",
        "Have long streams send something now and then; choose a server that shows its connection (gunicorn, uvicorn).",
    ),
    "proxy": Kind(
        "differs",
        "Behind a proxy the app answers otherwise",
        "The servers trust X-Forwarded-For and X-Forwarded-Proto differently, and the app uses what they say: "
        "addresses, rate limits, redirects to https.",
        "Say on both servers which proxies are trusted (--forwarded-allow-ips of uvicorn and gunicorn), and "
        "leave out the app's own ProxyFix where the server does its work.",
    ),
    "log": Kind(
        "differs",
        "The app logs something on one side only",
        "A warning or an error of its own says that it meets something else there.",
        "Read it: it is the app's own word.",
    ),
    "rule-wsgi": Kind(
        "rule",
        "The app breaks a rule of WSGI (PEP 3333)",
        "A lenient server hides it; another one, or the bridge, answers with an error.",
        "Mend it in the app, or in the middleware that does it.",
    ),
    "rule-asgi": Kind(
        "rule",
        "The app breaks a rule of the ASGI specification",
        "A lenient server hides it; another one, or the bridge, answers with an error.",
        "Mend it in the app, or in the middleware that does it.",
    ),
    "global": Kind(
        "risk",
        "A module's global is written by requests, without a lock",
        "WsgiToAsgi runs up to 40 requests at a time, in threads: they lose updates, or see each other's value.",
        "Hold a threading.Lock around it, keep it in the request, or run WsgiToAsgi(app, threads=1).",
    ),
    "early-local": Kind(
        "risk",
        "A threading.local is filled where no request runs",
        "It is filled in the thread that imports or starts the app; requests run in others, where it is empty.",
        "Fill it where it is used, or in the __init__ of a subclass of threading.local.",
    ),
    "blocking": Kind(
        "risk",
        "An async view calls something that blocks",
        'Its event loop stops meanwhile: on an ASGI server, and with loop="shared", all requests wait for it.',
        "Await an async counterpart, or await asyncio.to_thread(...).",
    ),
    "loop-bound": Kind(
        "risk",
        "Something that belongs to one event loop is kept for all requests",
        'With loop="request", the default, each request has a loop of its own: it fails there, or waits for ever.',
        'AsgiToWsgi(app, loop="shared") has one loop for all; bridge check --loop shared tries it.',
    ),
    "task": Kind(
        "risk",
        "The startup leaves tasks",
        'With loop="request", the default, nobody runs their loop while requests are served.',
        'AsgiToWsgi(app, loop="shared") has one loop for all; bridge check --loop shared tries it.',
    ),
    "websocket": Kind(
        "risk",
        "WebSocket routes are lost",
        "WSGI has nothing like a WebSocket: a handshake is answered with 501.",
        "Serve these routes on an ASGI server, or have clients use server-sent events.",
    ),
    "after": Kind(
        "risk",
        "Work goes on after the response",
        'With loop="request", the default, it holds a thread of the server, and the connection\'s next request waits.',
        'AsgiToWsgi(app, loop="shared") does it in the background; or hand it to a task queue.',
    ),
    "leak": Kind(
        "risk",
        "Each request leaves something behind",
        "Threads or open files pile up until there are no more.",
        "Close what the request opens, with a with block or in a finally.",
    ),
}


#: What is said without being a finding: it has to differ, or it is as good.
NOTES = {
    "own": "Date, Server, Connection, Transfer-Encoding and Via are the servers' own, and are not compared; nor is a "
    "Content-Length that the app has not set itself.",
    "noise": "Asked natively twice, {count} of {all} answers differed from themselves (times, tokens, counters): what "
    "varies in them is not compared.",
    "unread": "The body of {where} is said to be {what}, and is not: it was compared as it came.",
    "refused": "{request}: {native} on {first}, {bridged} on {second}; one of them answers before the app is asked.",
    "peer": "Behind a proxy that sends X-Forwarded-For, the app is told the client's address {native} on "
    "{first} and {bridged} on {second}. No answer depended on it.",
    "scheme": "Behind a proxy that sends X-Forwarded-Proto: https, the app is told {native} on {first} and {bridged} "
    "on {second}. No answer depended on it.",
    "file": "The app sends files. The bridge reads them itself; with sendfile=True the server does.",
    "gains": "WebSocket routes ({where}) work on the ASGI server. On a WSGI server they do only where it hands out its "
    "socket, as gunicorn does to flask-sock.",
    "no-routes": "The app's routes are not known (those of Flask, Quart, Django, Starlette, FastAPI, Litestar and "
    "Bottle are): the check has asked for / and unknown paths. --requests or --har say what else there is.",
    "all-refused": "All answers were {status}, so that little of the app was seen. {do}",
    "unsafe": "Routes that change something ({where}) were not asked; --all-methods does, on a copy of the data.",
}
