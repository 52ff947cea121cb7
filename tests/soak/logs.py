"""Each line of a server's log is one that is expected, or a complaint.

A traceback counts by its last line: which error it was; a group's by those of its errors. What is expected is a table
of patterns: of the app and the bridge, of each server, and what only a server says to which something is done. A
pattern is matched at a line's beginning, behind the time, process and level that most servers put there. One that says
where an error is raised goes on in the next line, with the last place of the traceback.

What a server says by a fault of its own is expected where ``tests.support.faults`` has that fault of the installed
version. Whatever else is expected of a server is right: it says that it starts or ends, that its app has failed, that
what came is no HTTP, or that somebody has left.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tests.support.faults import known

from .chaos import Chaos
from .model import Complaint, Loss

__all__ = ["OF_FAULTS", "OF_STOPS", "check_log"]

#: Time, process, level, in the ways of the servers.
_PREFIX = re.compile(
    r"(\[[^\]]*\] ?)*((INFO|WARNING|ERROR|DEBUG|CRITICAL): *)?(bridge: |[\w.]+:(?=[A-Za-z]))?"
)
#: Lines that belong to the one before: of a traceback, or what a server prints below its message.
_PART = re.compile(
    r"^(\s|(Exception Group )?Traceback \(|During handling of|The above exception|$|\+|handle_traceback|transport: |"
    r"protocol: )"
)
#: What stands before the lines of an exception group.
_GROUP = re.compile(r"^ *\| (?=\S)")

_OF_THE_APP = (
    # What the app was told to do.
    r"Planned: soak: ", r"SystemExit: soak: ", r"CancelledError: soak: ",
    # The rules that it was told to break.
    r"ApplicationError: the WSGI app's body has a chunk of type str",
    r"ApplicationError: the WSGI app sent its body without a call of start_response",
    r"ApplicationError: the body is 1 bytes shorter than the app's Content-Length",
    r"ApplicationError: http\.response\.body has str as its body",
    r"ApplicationError: the app ended its response after \d+ of the \d+ bytes",
    r"ApplicationError: the app's task was cancelled",
    r"ApplicationError: the app returned without a response",
    r"ApplicationExit: the WSGI app raised SystemExit: soak: planned",
)  # fmt: skip
#: How a client that has left is told, by the error that another one is raised beside.
_OF_CLIENTS = (
    r"BrokenPipeError: ",
    r"ConnectionResetError: ",
    # asyncio's, of a connection that the client has ended. A server that writes five times in one turn of the loop
    # can't know of it before the next. hypercorn knows, and goes on: its fault "writing to a client that has left".
    r"socket\.send\(\) raised exception",
)
_OF_THE_BRIDGE = (
    r"the WSGI app raised an error after its WebSocket to '/work\S*' was closed",
    r"(GET|POST) '/work\S*': close\(\) of the response raised",
    r"(GET|POST) '/work\S*': the WSGI app failed in the middle of its response",
    r"(GET|POST) '/work\S*': the WSGI app raised an error; its client had left",
    r"(GET|POST) '/work\S*': the application raised an error; it had answered with",
    r"(GET|POST) '/work\S*': the application failed after its client had left",
    r"(GET|POST) '/work\S*': the application has left tasks",
    r"a WebSocket handshake for '/work\S*' was refused: WSGI has no WebSocket",
    r"a response was dropped without close\(\)",
    r"gevent has replaced the threads of this process",
    r"GET '/work\S*': a WebSocket",
)
#: By the first word of the kind's name.
_OF_SERVERS: dict[str, tuple[str, ...]] = {
    "uvicorn": (
        r"Exception in ASGI application", r"Invalid HTTP request received", r"connection (open|closed|rejected)",
        r"127\.0\.0\.1:\d+ - \"WebSocket /work",
        r"Waiting for application s", r"Uvicorn running on", r"Started server process", r"Application s\w+ complete",
        r"Shutting down", r"Finished server process", r"Waiting for (connections|background)",
    ),
    "hypercorn": (
        r"Running on http", r"Error in ASGI Framework",
        # The error by which it learns that a connection begins with HTTP/2, below another one.
        r"H2ProtocolAssumedError: ",
    ),
    "granian": (
        r"Application callable raised an exception",
        # Somebody has left, at the levels of information and warnings.
        r"ASGI transport error", r"Failed to close websocket", r"Attempted to write to a closed websocket",
        r"Starting granian", r"Started worker-", r"Spawning worker-",
        r"Listening at", r"Stopp\w+ (old )?worker-", r"HUP signal received", r"Respawning worker-",
        r"Granian shutdown completed", r"Shutting down granian", r"Got signal",
    ),
    "gunicorn": (
        r"Error handling request", r"Invalid request from", r"Starting gunicorn", r"Listening at", r"Using worker",
        r"Booting worker", r"Handling signal", r"Worker exiting", r"Shutting down", r"Hang up",
    ),
    "waitress": (
        r"Task queue depth is", r"Exception while serving", r"Client disconnected while serving", r"Serving on",
    ),
}  # fmt: skip
#: Lines of faults, by the names of their rows. See ``OF_STOPS`` too.
OF_FAULTS: dict[str, tuple[str, ...]] = {
    "log of a denial by a response": (r"ASGI callable returned without completing handshake",),
    "end of a worker": (r"Killing (old )?worker-\d+ after it refused to gracefully stop",),
    # An error of the connection's own ends it. Who asks for it is told by asyncio's streams.
    "upload that is answered early": (
        r"Unhandled exception in client_connected_cb", r"ExceptionGroup: unhandled errors in a TaskGroup",
        r"KeyError: \d+$",
    ),
    "end of a worker beside an error of a connection": (
        r"Process SpawnProcess-\d+:$", r"unhandled exception during asyncio\.run\(\) shutdown$",
        r"task: <Task finished .* exception=(ExceptionGroup|RuntimeError)\(.*TaskGroup",
    ),
    "end of a connection with a response that is under way": (
        r"RuntimeError: TaskGroup <TaskGroup .* is shutting down",
        # Python warns of it wherever the garbage is found.
        r".*:\d+: RuntimeWarning: coroutine 'TCPServer\._idle_timeout'", r"RuntimeWarning: Enable tracemalloc",
    ),
    "cancelled task of a connection": (
        r"Exception in callback StreamReaderProtocol", r"handle: <Handle StreamReaderProtocol", r"CancelledError$",
    ),
    "log of garbage whose client has left": (
        r"(waitress:)?Exception when servicing <waitress", r"ClientDisconnected$",
        r"AttributeError: 'HTTPRequestParser' object has no attribute 'path'",
    ),
}  # fmt: skip
_ENDED = (
    # What a server does not wait for is told so.
    r"RuntimeError: the adapter was closed while it had requests", r"(waitress:)?\d+ thread\(s\) still running",
    r"(GET|POST) '/work\S*': the application", r"the shutdown of", r"Exception in worker process",
    r"Worker \(pid:\d+\) (was sent|exited with)", r"Unexpected exit from worker-",
    r"(waitress:)?Canceling \d+ pending task",
)  # fmt: skip
#: As ``OF_FAULTS``, where the server is told to stop.
OF_STOPS: dict[str, tuple[str, ...]] = {
    "answer to a handshake beside the shutdown": (
        r"AssertionError$\n.*in send_eof$",
        # Of its first implementation alone; another one that says so has got a message that is wrong.
        r"RuntimeError: Expected ASGI message 'websocket\.send' or 'websocket\.close', but got .*$\n.*in asgi_send$",
    ),
}  # fmt: skip
_OF_CHAOS: dict[Chaos, tuple[str, ...]] = {
    Chaos.TERMINATE: _ENDED,
    Chaos.INTERRUPT: (*_ENDED, r"KeyboardInterrupt", r"SystemExit: 0"),
    Chaos.RELOAD: _ENDED,
    Chaos.KILL: _ENDED,
    Chaos.DESCRIPTORS: (
        *_ENDED, r".*Too many open files", r".*TooManyOpenFiles", r"server accept\(\) threw an exception",
        r"socket\.accept\(\) out of system resource", r"socket: <asyncio\.TransportSocket",
        r"\S+ <StreamServer at",
        # gunicorn's threads wait for a connection's first bytes with a selector each. The error's own line says which.
        r"Socket error processing request\.$",
    ),
    Chaos.SPACE: (
        *_ENDED, r".*No space left on device",
        # waitress keeps what its client has not read yet in a file, and ends the connection where it can't.
        r"(waitress:)?Unexpected exception when flushing", r"(waitress:)?Socket error$",
        r"(waitress:)?Unknown exception while trying to close outbuf",
    ),
}  # fmt: skip


def check_log(log: str, kind: str, chaos: Iterable[Chaos] = ()) -> list[Complaint]:
    """What the server ``kind`` has logged that nobody expects, each once, with its number and where it was raised."""
    disturbed = set(chaos)
    patterns = [*_OF_THE_APP, *_OF_CLIENTS, *_OF_THE_BRIDGE, *_OF_SERVERS[kind.partition("-")[0]]]
    stops = OF_STOPS if disturbed & {Chaos.TERMINATE, Chaos.INTERRUPT} else {}
    for fault, lines in (OF_FAULTS | stops).items():
        if known(fault, kind) is not None:
            patterns += lines
    for done in disturbed:
        patterns += _OF_CHAOS.get(done, ())
    expected = re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.MULTILINE)
    found: Counter[str] = Counter()
    places: dict[str, str] = {}
    for text, place in _texts(log):
        if not expected.match(f"{text}\n{place}"):
            found[text] += 1
            places.setdefault(text, place)
    return [
        Complaint(Loss.LOG, f"{number} times {text[:300]!r} {places[text]}".rstrip(), number=number)
        for text, number in found.items()
    ]


def _texts(log: str) -> Iterator[tuple[str, str]]:
    """Each text with the last place of the traceback before it: ``File "...", line 1, in name``, or nothing."""
    place = ""
    for whole in log.splitlines():
        line = _GROUP.sub("", whole, count=1)
        if _PART.match(line):
            if line.lstrip().startswith('File "'):
                place = line.strip()
            continue
        text = _PREFIX.sub("", line, count=1)
        # The module of an error's class.
        yield re.sub(r"^[\w.]+\.(?=[A-Z]\w*(:|$))", "", text), place
        place = ""
