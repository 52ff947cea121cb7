"""A visit to a site: requests of a client one after the other, and what came of each, to be compared.

What differs by nature is hidden: what the server adds, tokens, and times.
"""

import re
from typing import Any, NamedTuple

import httpx

__all__ = ["Answer", "Visit", "lines_of_app"]

#: Of the server, or of one connection.
_OF_SERVER = {"date", "server", "connection", "transfer-encoding", "keep-alive"}
_RANDOM = re.compile(
    r"\b[A-Za-z0-9]{64}\b|(?<=csrftoken=)\w+|(?<=sessionid=)\w+|(?<=messages=)[^;]+"  # Django's tokens
    r"|\w{3}, \d\d \w{3} \d{4} [\d:]+ GMT|\w+\.? \d+, \d{4}, (?:[\d:]+ [ap]\.m\.|noon|midnight)|127\.0\.0\.1:\d+"
)


class Answer(NamedTuple):
    """What came of one request."""

    step: str
    status: int
    headers: list[tuple[str, str]]
    body: str


class Visit:
    """A client that keeps cookies, and what it was answered."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.answers: list[Answer] = []

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send a request, with its number as ``X-Step``; keep what is answered, and return it."""
        step = {"X-Step": str(len(self.answers))}
        response = self.client.request(
            method, url, **options | {"headers": step | options.get("headers", {})}
        )
        hidden = set(_OF_SERVER)
        if response.headers.get("content-length") == str(len(response.content)):
            hidden.add("content-length")  # which says no more than the body; a server may have set it
        headers = [
            (name.lower(), _RANDOM.sub("*", value))
            for name, value in response.headers.multi_items()
            if name.lower() not in hidden
        ]
        body = _RANDOM.sub("*", response.content.decode("latin-1"))
        self.answers.append(Answer(f"{method} {url}", response.status_code, sorted(headers), body))
        return response


def lines_of_app(log: str, mark: str) -> list[str]:
    """The lines of a server's log that the app has marked so, from the mark on."""
    return [_RANDOM.sub("*", line[line.index(mark) :]) for line in log.splitlines() if mark in line]
