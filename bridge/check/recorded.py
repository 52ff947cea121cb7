"""Requests that the user has written down, or a browser has recorded: text in, requests out.

A file for ``--requests`` has one request a line, as ``curl`` takes it or shorter::

    # what the shop's page does
    GET /api/products
    POST /api/orders -H 'Content-Type: application/json' -d '{"coffee": "huila"}'
    curl -X PUT http://127.0.0.1:8000/picture --data-binary @picture.png

Of a URL, the path and the query count; the host is that of the check.
"""

import argparse
import base64
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from .model import Request

__all__ = ["RecordedError", "from_har", "from_lines", "wire_text"]

_FORM = "application/x-www-form-urlencoded"
#: RFC 9110, section 5.6.2: what a method is.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")
#: Headers that are the connection's, or that the client here makes itself.
_CONNECTIONS = frozenset(
    {
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)


class RecordedError(ValueError):
    """A file says what can't be understood; the message names the line."""


def from_lines(text: str, directory: Path) -> list[Request]:
    """Return the requests of a file for ``--requests``; ``directory`` is where files of ``@name`` are.

    Raises ``RecordedError``, and ``OSError`` for such a file.
    """
    requests = []
    number, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        joined += line
        if joined.endswith("\\"):  # as browsers copy it for a shell
            joined = joined[:-1] + " "
            continue
        line, joined = joined.strip(), ""
        if not line or line.startswith("#"):
            continue
        try:
            requests.append(_from_words(shlex.split(line), directory))
        except ValueError as exc:
            raise RecordedError(f"line {number}: {exc}") from None
    if joined.strip():
        raise RecordedError(f"line {number}: it goes on behind the file's end")
    return requests


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raised to who knows the line."""
        raise ValueError(message)


def _curl() -> _Parser:
    """curl's options that make a request, and those that change nothing of it."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("words", nargs="*")
    add("-X", "--request", default="")
    add("-H", "--header", action="append", default=[], type=_header)
    for option in ("--data", "--data-ascii", "--data-raw", "--data-binary", "--data-urlencode", "--json"):
        short = ["-d"] if option == "--data" else []
        add(*short, option, dest="data", action="append", default=[], type=partial(_Data, option))
    add("-b", "--cookie")
    add("-A", "--user-agent")
    add("-u", "--user")
    add("-I", "--head", action="store_true")
    add("-G", "--get", action="store_true")
    for ignored in (
        "-s --silent",
        "-S --show-error",
        "-i --include",
        "-v --verbose",
        "-L --location",
        "-f --fail",
    ):
        add(*ignored.split(), action="store_true")
    for ignored in (
        "-k --insecure",
        "-N --no-buffer",
        "-g --globoff",
        "--compressed",
        "--http1.1",
        "--http2",
    ):
        add(*ignored.split(), action="store_true")
    for ignored in ("-o --output", "-m --max-time", "-w --write-out", "--connect-timeout"):
        add(*ignored.split())
    return parser


def _from_words(words: list[str], directory: Path) -> Request:
    asked = _curl().parse_intermixed_args(words[1:] if words[0] == "curl" else words)
    method, url = asked.request, asked.words
    if len(url) > 1 and not method and url[0].isalpha() and url[0].isupper():
        method, *url = url
    if len(url) != 1:
        raise ValueError(f"there is to be one URL, not {' '.join(url) or 'none'}")
    headers: list[tuple[str, str]] = [pair for pair in asked.header if _is_own(pair[0])]
    if asked.cookie:
        headers.append(("Cookie", asked.cookie))
    if asked.user_agent:
        headers.append(("User-Agent", asked.user_agent))
    if asked.user:
        headers.append(("Authorization", f"Basic {base64.b64encode(asked.user.encode()).decode()}"))
    body, target = b"&".join(data.read(directory) for data in asked.data), _target(url[0])
    if asked.get and body:
        target, body = f"{target}{'&' if '?' in target else '?'}{body.decode('latin-1')}", b""
    sends = bool(asked.data) and not asked.get  # -d '' sends a body too, an empty one
    if sends and not any(name.lower() == "content-type" for name, _ in headers):
        json_ = any(data.option == "--json" for data in asked.data)
        headers.append(("Content-Type", "application/json" if json_ else _FORM))
    method = method or ("HEAD" if asked.head else "POST" if sends else "GET")
    return _request(method, target, headers, body)


def _request(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> Request:
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no method")
    pairs = tuple((wire_text(name), wire_text(value)) for name, value in headers)
    return Request(method=method, target=target, headers=pairs, body=body, origin="file")


def wire_text(text: str) -> str:
    """A text as ``Request`` has it: its bytes in UTF-8, as curl sends them, each as a character of latin-1."""
    return text.encode().decode("latin-1")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no header: write 'Name: value'")
    return name.strip(), value.strip()


@dataclass(frozen=True, slots=True)
class _Data:
    """One of the options that give data."""

    option: str
    text: str

    def read(self, directory: Path) -> bytes:
        text = self.text
        if text.startswith("@") and self.option not in {"--data-raw", "--data-urlencode"}:
            content = (directory / text[1:]).read_bytes()
            # As curl does it: a file for --data has its line ends taken out.
            return content if self.option in {"--data-binary", "--json"} else content.translate(None, b"\r\n")
        if self.option == "--data-urlencode":
            name, equals, value = text.partition("=")
            return (f"{name}={quote(value)}" if equals else quote(name)).encode()
        return text.encode()


def _target(url: str) -> str:
    parts = urlsplit(url if "://" in url or url.startswith("/") else f"//{url}")
    path = quote(parts.path or "/", safe="/:@!$&'()*+,;=-._~%")
    query = quote(parts.query, safe="/:@!$&'()*+,;=-._~%?[]{}|^")
    return f"{path}?{query}" if parts.query else path


def _is_own(name: str) -> bool:
    return not name.startswith(":") and name.lower() not in _CONNECTIONS


def from_har(text: str) -> tuple[list[Request], dict[str, str]]:
    """Return the requests of an HTTP archive, as browsers write them, and the cookies that they begin with.

    Only those to the host of the first one are taken: pages get fonts and scripts from others. WebSockets are left out.

    Raises ``RecordedError``.
    """
    try:
        recorded = [entry["request"] for entry in json.loads(text)["log"]["entries"]]
        host = urlsplit(recorded[0]["url"]).netloc if recorded else ""
        own = [request for request in recorded if urlsplit(request["url"]).netloc == host]
        cookies: dict[str, str] = {}
        for request in own:
            for cookie in request.get("cookies", ()):
                cookies.setdefault(wire_text(cookie["name"]), wire_text(cookie["value"]))
        return [_from_har(request) for request in own if request["url"].startswith("http")], cookies
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RecordedError(f"it is no HTTP archive (HAR): {type(exc).__name__}: {exc}") from None


def _from_har(request: dict[str, Any]) -> Request:
    headers = [
        (header["name"], header["value"]) for header in request.get("headers", ()) if _is_own(header["name"])
    ]
    data = request.get("postData") or {}
    body = str(data.get("text") or "").encode()
    if data.get("encoding") == "base64":
        body = base64.b64decode(body)
    elif not body and data.get("params"):
        body = urlencode([(each["name"], each.get("value", "")) for each in data["params"]]).encode()
    return _request(request["method"], _target(request["url"]), headers, body)
