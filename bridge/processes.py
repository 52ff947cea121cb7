"""``wsgi.multiprocess``: whether another process may serve the same app. PEP 3333, "environ Variables".

ASGI does not tell it, so it is seen from the process itself. What is known, by the servers' own sources:

- A process that nobody has forked or spawned for the purpose serves alone: uvicorn with one worker, daphne, a server
  that is run by a program of the user's. That another one was started beside it, on another port or by a supervisor on
  the same socket, can't be seen; waitress and cheroot say the same there.
- A worker of uvicorn (``--workers 2``, ``--reload``) or of hypercorn (also its only one) is a child of
  ``multiprocessing``, and has the server's configuration among its arguments, which says how many there are.
- A worker of granian is such a child too, and is told nothing about the others; a worker of gunicorn is forked, and
  can't know how many there will be. ``bridge serve`` says it for granian, where it is asked for.

Where it can't be known it is true. Debuggers and profilers that keep something of one request for the next switch
themselves off by it; after a false "no" their second request would reach a process that knows nothing of the first.
"""

import os
import sys
from typing import Any

__all__ = ["declare", "is_one_of_several"]

# What declare() was told, and whether this process was forked. Both are written before there are threads that serve: at
# import of the app, and in the child at a fork.
_declared: bool | None = None
_forked = False
# The answer, from the first request on: a worker may import the app before it is told what it is. Threads that find it
# out at once find the same.
_answer: bool | None = None


def declare(several: bool) -> None:
    """Say it, for who knows; children that are forked later are told too."""
    global _declared, _answer  # noqa: PLW0603
    _declared = _answer = several


def is_one_of_several() -> bool:
    """Whether another process may serve the same app at the same time; true where it can't be known."""
    global _answer  # noqa: PLW0603
    if _answer is None:
        _answer = _find_out()
    return _answer


def _find_out() -> bool:
    if _declared is not None:
        return _declared
    process: Any = sys.modules.get("multiprocessing.process")  # it is there in each of its children
    if process is not None and process.parent_process() is not None:
        return _is_worker_of_several(process.current_process())
    return _forked or os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")


def _is_worker_of_several(process: Any) -> bool:
    """For a child of ``multiprocessing``, whose arguments have no public name."""
    config = getattr(process, "_kwargs", {}).get("config")
    if getattr(config, "should_reload", False):  # uvicorn's: then there is one, whatever ``workers`` says
        return False
    workers = getattr(config, "workers", None)
    return not isinstance(workers, int) or workers > 1


def _after_fork() -> None:
    global _forked, _answer
    _forked, _answer = True, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
