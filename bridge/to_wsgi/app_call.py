"""Calling an app, and knowing from anywhere in the process whether one is at work for somebody."""

import asyncio
import contextvars
import sys
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any, Protocol

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from ..errors import ApplicationError, ApplicationExit
from ..types import ASGIApp, Receive, Scope, Send
from .app_errors import note_trio

__all__ = ["call_app", "ending", "of_no_request", "raised", "work_for", "works_for"]


class _Context(ThreadSensitiveContext):
    """Marks the context of a request's or a startup's code: that of its tasks, and of the threads of its sync code."""

    #: The ``owner`` that the code works for; ``None`` once the request is over.
    owner: object = None
    #: The marks that were in effect outside.
    outer: tuple[object, ...] = ()


# A request's mark is in asgiref's own variable, which gives its sync code a thread of its own. A startup's must not be
# there: its sync code runs in the thread that asgiref has for the rest of the process.
_startup: ContextVar[_Context | None] = ContextVar("bridge_startup", default=None)


def works_for(owner: object) -> bool:
    """Whether the caller, in whichever thread, runs inside a request or a startup of ``owner`` that is not over."""
    contexts: list[Any] = [SyncToAsync.thread_sensitive_context.get(None), _startup.get()]
    while contexts:
        context = contexts.pop()
        if getattr(context, "owner", None) is owner:
            return True
        if isinstance(context, _Context):
            contexts += context.outer
        elif isinstance(context, ThreadSensitiveContext) and context.token is not None:
            # The app's own, with an executor; another one changes nothing within ours.
            contexts.append(context.token.old_value)
    return False


async def work_for(owner: object, work: Awaitable[None]) -> None:
    """Do ``work`` for ``owner`` that is no request. To be run in a task of its own, whose context it marks."""
    context = _Context()
    context.owner = owner
    context.outer = (_startup.get(),)
    _startup.set(context)
    try:
        await work
    finally:
        context.owner = None


def of_no_request() -> contextvars.Context:
    """The context that an app is started in, by the first request: an empty one, as it has on its own server.

    What the app starts there lasts as long as the process. In the context of that request its spans would be in the
    request's trace for ever, and its log lines would have the request's ids. Only ``works_for()`` sees the request.
    """
    mark = _Context()
    mark.outer = (SyncToAsync.thread_sensitive_context.get(None), _startup.get())
    context = contextvars.Context()
    context.run(_startup.set, mark)
    return context


class Failing(Protocol):
    """Who runs an app."""

    #: The app's context as it was when the app raised an error. What is logged of it later is logged in this one, as
    #: on an ASGI server: trackers of errors and structured logs find there which request it was, and what they know.
    context: contextvars.Context | None


async def call_app(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, owner: object, failing: Failing
) -> BaseException | None:
    """The app, in a thread-sensitive context of asgiref's own: its sync code waits for no other request's.

    The context is a mark in the task's context; its thread is made when it is first used, and ends here.

    Returns:
        What the app raised to end the process, if it did. A task that raises it would raise it out of the loop as
        well, through frames of asyncio that keep the task, and with it all that the request had.
    """
    context: Any = _Context()  # its methods have no types
    context.owner = owner
    context.outer = (SyncToAsync.thread_sensitive_context.get(None),)
    token = SyncToAsync.thread_sensitive_context.set(context)
    try:
        await app(scope, receive, send)
    except (SystemExit, KeyboardInterrupt) as exc:
        failing.context = contextvars.copy_context()
        return exc
    except Exception as error:
        failing.context = contextvars.copy_context()
        note_trio(error)
        raise
    finally:
        scope = {}  # an error of the app's would show it: see mapping.hidden
        context.owner = None
        # It is a weak dictionary: what nothing refers to weakly is not in it.
        if context.__weakref__ is not None and context in SyncToAsync.context_to_thread_executor:
            # Not before: the token refers to the context, and only __aexit__() takes the two apart.
            context.token = token
            await context.__aexit__(*sys.exc_info())
    return None


def raised(task: "asyncio.Task[BaseException | None]") -> BaseException | None:
    """What the app raised, by the task of ``call_app()``, which has ended and was not cancelled."""
    return task.exception() or task.result()


def ending(task: "asyncio.Task[BaseException | None]") -> BaseException | None:
    """What the end of the task of ``call_app()`` on the shared loop is to the server; ``None``: it has ended well."""
    if task.cancelled():
        return ApplicationError("the app's task was cancelled, by the app itself or with its loop")
    error = raised(task)
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        # On the server's thread it would end the worker, and with it the loop of all requests.
        told = ApplicationExit(f"the app raised {type(error).__name__}")
        told.__cause__ = error
        return told
    return error
