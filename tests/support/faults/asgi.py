"""What ASGI servers do with HTTP otherwise than they should, and in ways of their own."""

from tests.support.faults.row import Fault

__all__ = ["ASGI"]

_HYPERCORN_2 = ("hypercorn-h2", "hypercorn-h2c")
_SOAK = "a race, which the soak sees at times"

ASGI = (
    Fault(
        name="lifespan",
        servers=("daphne",),
        versions="daphne",
        does="it has none, and at a shutdown it cancels what runs",
        lawful="the ASGI specification lets a server leave it out",
        wrong=0,
        docs=("It has no lifespan",),
    ),
    Fault(
        name="status of a failed start",
        servers=("hypercorn",),
        versions="hypercorn",
        does="it forgets the status of a worker that could not start, where there is no other worker to end",
        right="it ends with that status",
        wrong=0,
    ),
    Fault(
        name="app called before the body's end",
        servers=("daphne",),
        versions="daphne",
        does="it calls the app when the whole body is there",
        lawful="the ASGI specification lets a server do so",
        unshown="that an app is not called yet is seen by waiting alone",
    ),
    Fault(
        name="bounded sending",
        servers=("daphne",),
        versions="daphne",
        does="its send() takes whatever the app sends, and keeps it for a client that does not read",
        right="send() waits",
        wrong="takes everything",
        docs=(
            "daphne's `send()` never waits, so there a client that stops reading makes daphne's memory grow",
        ),
    ),
    Fault(
        name="upload that is answered early",
        servers=_HYPERCORN_2,
        versions="hypercorn",
        does="it loses an HTTP/2 connection on which data arrives for a stream that it has answered already",
        right="the stream is answered, and the others live on",
        wrong="lost",
    ),
    Fault(
        name="error in the middle, on a stream",
        servers=_HYPERCORN_2,
        versions="hypercorn",
        does="an app's Exception leaves the stream open for ever, and its client waiting",
        right="the stream is reset",
        wrong="hangs",
        docs=("On hypercorn with HTTP/2, an error in the middle of a response ends the connection",),
        bridge=("to_asgi/sending.py",),
    ),
    Fault(
        name="error in the middle, HTTP/3",
        servers=("hypercorn-h3",),
        versions="hypercorn",
        does="an app's Exception leaves the stream open for ever, and its client waiting; what is no Exception ends "
        "all HTTP/3 of the process",
        right="the stream is reset",
        wrong="open",
        docs=("With HTTP/3 it leaves its stream open",),
        bridge=("to_asgi/sending.py",),
    ),
    Fault(
        name="leaving, HTTP/3",
        servers=("hypercorn-h3",),
        versions="hypercorn",
        does="it tells no app that its client has left, whatever the app",
        right="http.disconnect",
        wrong="goes on",
        docs=("It tells no app there that its client has left",),
    ),
    Fault(
        name="send() to a stream that has ended",
        servers=_HYPERCORN_2,
        versions="hypercorn",
        does="it never returns when the client has left",
        right="it returns, or raises OSError",
        unshown="bridge gives it up: test_client_that_left_does_not_hold_up_a_shutdown would hang",
        bridge=("to_asgi/watch.py",),
    ),
    Fault(
        name="shutdown beside an open connection",
        servers=("hypercorn",),
        versions='hypercorn; python_version >= "3.12"',
        does="from 3.12 on it never ends while a connection is open, whatever the app",
        right="it ends when its graceful timeout has passed",
        wrong="had to be killed",
    ),
    Fault(
        name="shutdown beside a client that does not read",
        servers=("hypercorn",),
        versions="hypercorn",
        does="it waits for such a client for ever, whatever the app",
        right="it ends when its graceful timeout has passed",
        wrong="had to be killed",
    ),
    Fault(
        name="garbage in place of a chunk's size",
        servers=("granian",),
        versions="granian",
        does="it tells it as a disconnect, and answers 500 itself when nobody does",
        right="400",
        wrong={"chunked bad size"},
    ),
    Fault(
        name="request without a body, HTTP/2",
        servers=("uvicorn-h2c",),
        versions="zttp",
        does="uvicorn's HTTP/2 (0.54 with zttp 0.0.35) never sees its end, with any app",
        right="the app is called",
        wrong="hangs",
    ),
    Fault(
        name="error in the middle, on daphne",
        servers=("daphne",),
        versions="daphne",
        does="an exception after the start of a response ends its task that watches over all requests",
        right="the connection is cut, and the next error gets its 500",
        unshown="bridge's own way round it is what test_error_after_the_start_never_looks_like_a_whole_response shows",
        bridge=("to_asgi/sending.py",),
    ),
    Fault(
        name="read() of a negative size",
        servers=("granian-wsgi",),
        versions="granian",
        does="its wsgi.input knows no negative size",
        right="all of the body",
        unshown="an app has to ask so; tests/dispatch/test_fallback_wsgi_body.py has such an input in process",
        bridge=("dispatch/fallback_wsgi.py",),
    ),
    Fault(
        name="two signals to a worker",
        servers=("granian", "granian-ws", "granian-wsgi"),
        versions="granian",
        does="a worker that gets SIGINT from the terminal and SIGTERM from its main process may end before the main "
        "process has seen its own, whose exit status is 1 then; and uvloop may call the handler of the second twice: "
        "the third call that granian's WorkerSignal gets before the worker has stopped blocks for ever",
        right="an end in good order",
        unshown="a race",
        docs=("granian's workers can miss the end", "on Ctrl-C with uvloop"),
    ),
    Fault(
        name="SIGTERM to a worker that starts",
        servers=("granian", "granian-ws", "granian-wsgi"),
        versions="granian",
        does="a worker loses a SIGTERM that comes while it imports the app, and its reloader waits for it for ever",
        right="it ends",
        unshown="a race",
        docs=(
            "with `--reload` when a file is saved while one starts",
            "granian then waits for them for ever",
        ),
    ),
    Fault(
        name="end of a worker",
        servers=("granian", "granian-ws", "granian-wsgi"),
        versions="granian",
        does="a worker at rest may miss its SIGTERM, at a shutdown or a reload, whatever the app; it is killed when "
        "--workers-kill-timeout has passed",
        right="it ends",
        unshown=_SOAK,
    ),
    Fault(
        name="beginning of a response that fails",
        servers=("granian", "granian-ws"),
        versions="granian",
        does="it may close the connection without what the app had sent before it failed, the head included",
        lawful="what the client has not got does not look whole",
        unshown=_SOAK,
    ),
    Fault(
        name="answer before the body is read",
        servers=("uvicorn-h11", "uvicorn-httptools"),
        versions="uvicorn",
        does="it closes a connection with bytes of the body unread, for which the kernel resets: the client may lose "
        "the answer, whatever the app",
        right="it reads on for a while (RFC 9112, section 9.6)",
        unshown=_SOAK,
    ),
    Fault(
        name="answer before the body is read",
        servers=("hypercorn",),
        versions="hypercorn",
        does="it closes a connection with bytes of the body unread, for which the kernel resets: the client may lose "
        "the answer, whatever the app",
        right="it reads on for a while (RFC 9112, section 9.6)",
        unshown=_SOAK,
    ),
    Fault(
        name="app that ends before it has read its body",
        servers=("hypercorn",),
        versions="hypercorn",
        does="with more than ten parts of the body unread it waits for ever for room in the app's queue, which nobody "
        "reads any more: the connection is never closed, and an answer that was cut never ends for its client",
        right="it closes the connection",
        wrong="hangs",
    ),
    Fault(
        name="requests behind one that fails",
        servers=("hypercorn",),
        versions="hypercorn",
        does="the task that reads the connection waits for ever, for a recycling that an error forbids",
        right="it ends with its connection",
        wrong="its task is left",
    ),
    Fault(
        name="connection that its client has ended",
        servers=("hypercorn", "hypercorn-h2", "hypercorn-h2c"),
        versions="hypercorn",
        does="between two requests it keeps it until its keep-alive timeout has passed: its task group waits for the "
        "task of that timeout, which is stopped behind it",
        right="it closes it",
        wrong="kept",
    ),
)
