"""Answers, records and runs for the tests of what is made of them."""

from typing import Any

from bridge.check.compare import Asked
from bridge.check.model import Answer, Plan, Record, Request, Route, Run
from bridge.cli.target import AppKind

__all__ = ["asked", "plan", "run"]


def asked(
    body: bytes | str = b"the same",
    *headers: tuple[str, str],
    status: int = 200,
    complete: bool = True,
    left: Any = "",
    record: Record | None = None,
    reached: bool = True,
    first_at: float | None = 0.0,
) -> Asked:
    """One answer, and by default a record of an app that gave it."""
    data = body.encode() if isinstance(body, str) else body
    kept = [("date", "now"), *headers]
    answer = Answer(status=status, headers=kept, body=data, complete=complete, left=left, first_at=first_at)
    made = record or Record(status=status, ended=True)
    return Asked(answer, made if reached else None)


def plan(
    *requests: Request, kind: AppKind = "wsgi", routes: tuple[Route, ...] = (), one_loop: bool = False
) -> Plan:
    """A WSGI app from gunicorn to uvicorn, or an ASGI app the other way."""
    servers = ("gunicorn", "uvicorn") if kind == "wsgi" else ("uvicorn", "gunicorn")
    return Plan(
        app="shop:app",
        kind=kind,
        native=servers[0],
        bridged=servers[1],
        requests=list(requests),
        routes=list(routes),
        one_loop=one_loop,
    )


def run(*answers: Asked, events: tuple[dict[str, Any], ...] = ()) -> Run:
    """One run, with these answers."""
    records = {number: each.record for number, each in enumerate(answers) if each.record is not None}
    return Run(server="", answers=[each.answer for each in answers], records=records, events=list(events))
