"""What servers import: ``bridge.cli.served:app`` is the app that ``bridge serve`` was asked for.

The one import of the user's module in this process happens here. gunicorn has a module of its own.
"""

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Iterator

from ..processes import declare
from .loading import NotServedError, found, tell
from .target import Target

__all__ = ["app"]

#: uvicorn's main process takes any other status of a worker for a crash, and starts a new one for ever.
_UVICORN_STARTUP_FAILURE = 3


def _is_first(target: Target) -> bool:
    """Whether this process serves alone or is the first worker of several, who speaks for all."""
    # The number that multiprocessing gives to a process; reloaders go on counting.
    identity = getattr(multiprocessing.current_process(), "_identity", ())
    return identity == (1,) or (identity == () and not target.loads_in_main_process)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end a process that imports the app; natively they wait for the import.

    hypercorn's workers ignore SIGINT, uvicorn's and granian's note both for a loop that doesn't run yet, and so does
    uvicorn's only process (0.35). An import that waits, for a database say, would hold the main process too: it waits
    for its workers without a limit.
    """
    worker = multiprocessing.parent_process() is not None
    # None: a handler that is not Python's, and can't be put back by it. What the main process ignores, or leaves to the
    # system, is the user's choice.
    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) is not None and (worker or callable(handler))
    }
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is signal.default_int_handler:  # the app has set none of its own
                signal.signal(number, handler)


def _load() -> object:
    target = Target.from_environment()
    if target.sigterm_interrupts:
        # So that the server's loop ends as it does on Ctrl-C, and exit functions run.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if target.workers is not None:
        declare(target.workers > 1)
    try:
        with _interruptible():
            served, kinds = found(target)
    except KeyboardInterrupt:
        sys.exit(130)
    except NotServedError as exc:
        print(f"bridge: error: {exc}", file=sys.stderr)
        is_child = multiprocessing.parent_process() is not None
        sys.exit(_UVICORN_STARTUP_FAILURE if is_child and target.server == "uvicorn" else 2)
    tell(target, kinds, first=_is_first(target))
    return served


app = _load()
