"""What a server answered to a raw request, in a form that can be compared with another server's answer."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import h11
import pytest

from tests.integration.raw_differences import Difference
from tests.support.faults.row import installed
from tests.support.raw import RawConnection, RawResponse
from tests.support.servers import RunningServer

__all__ = ["Answer", "Answers", "ask", "skip_older_parsers", "unlike"]

# What each server adds of its own to any response.
SERVER_HEADERS = {"connection", "date", "keep-alive", "server", "transfer-encoding", "via"}

# One answer: "status", "headers", "body", and "environ:KEY" (or "scope:KEY") for each key that the app saw.
Answer: TypeAlias = dict[str, object]
Answers: TypeAlias = Mapping[str, Answer]


# The tables are about these parsers. Older ones take more of what is malformed, on either side of the comparison.
_PARSERS = {"gunicorn": "gunicorn>=27", "cheroot": "cheroot>=11"}


def skip_older_parsers(*servers: str) -> None:
    """Skip the test where one of ``servers`` is older than the tables."""
    for server in servers:
        if server in _PARSERS and not installed(_PARSERS[server]):
            pytest.skip(f"the tables are about the parser of {_PARSERS[server]}")


def unlike(bridged: Answers, native: Answers, listed: Iterable[Difference]) -> tuple[str, str]:
    """Return what differs and is not ``listed``, and what is ``listed`` and does not differ; a line for each."""
    seen = {(case, field) for case in bridged for field in _differing(bridged[case], native[case])}
    known = {
        (case, field): difference.reason
        for difference in listed
        for case in difference.requests
        for field in difference.fields
    }
    new = "".join(
        f"\n  {case!r} {field}: {bridged[case].get(field)!r} / {native[case].get(field)!r}"
        for case, field in sorted(seen - known.keys())
    )
    gone = sorted(known.keys() - seen)
    return new, "".join(f"\n  {case!r} {field}: {known[case, field]!r}" for case, field in gone)


def _differing(left: Answer, right: Answer) -> Iterator[str]:
    if left["status"] != right["status"]:
        # The rest follows from it.
        yield "status"
        return
    yield from (field for field in sorted(left.keys() | right.keys()) if left.get(field) != right.get(field))


def ask(server: RunningServer, raw: bytes, seen_as: str = "environ") -> Answer:
    """Send one request; ``seen_as`` names what the app tells of it."""
    method = "HEAD" if raw.startswith(b"HEAD ") else "GET"
    with RawConnection(server.connect(timeout=10.0)) as connection:
        try:
            response = connection.request(raw, method)
        except TimeoutError:
            return {"status": "hangs"}
        except (h11.RemoteProtocolError, ConnectionError):
            return {"status": "closed without a response"}
    return _describe(response, seen_as)


def _describe(response: RawResponse, seen_as: str) -> Answer:
    if not response.complete:
        return {"status": "broken"}
    sent = response.header("x-app")
    if sent is None:
        # The server's own answer, or the bridge's: its wording is its own.
        return {"status": f"rejected with {response.status}"}
    ignored = SERVER_HEADERS | ({"content-length"} - set(sent.split(",")))
    headers = sorted((name.lower(), value) for name, value in response.headers if name.lower() not in ignored)
    answer: Answer = {"status": f"{response.status} {response.reason}"}
    if ("content-type", "application/json") not in headers or not response.body:
        return answer | {"headers": headers, "body": response.body}
    seen: dict[str, Any] = json.loads(response.body)
    # The length of the body that describes the environ differs where the environ does.
    headers = [(name, value) for name, value in headers if name != "content-length"]
    return answer | {"headers": headers} | {f"{seen_as}:{key}": value for key, value in seen.items()}
