"""Comparing answers: data in, differences out.

An app may answer the same request differently each time: a time, a token, a counter. So it is asked natively twice, and
only where the two native answers agree does the bridged one have to agree with them. Texts are compared in pieces, so
that one token in a page does not hide the rest of it.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from .model import Answer, Record, Request

__all__ = ["LEAVING", "SERVERS_OWN", "Asked", "Difference", "agrees", "differences", "unread"]

#: What a server adds or changes by itself in any response: how the body is framed, who it is, when it was.
SERVERS_OWN = frozenset({"connection", "date", "keep-alive", "server", "trailer", "transfer-encoding", "via"})

#: Lists without an order, which frameworks make from sets.
_UNORDERED = frozenset({"access-control-allow-headers", "access-control-allow-methods", "allow", "vary"})
# Seconds between the first and the last piece of a body, from which on it is a stream.
_STREAM = 0.1
#: Seconds in which an app has to have noticed that its client has left.
LEAVING = 4.0
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """One request in one run: what came back, and the app's side of it; None: it never reached the app."""

    answer: Answer
    record: Record | None


@dataclass(frozen=True, slots=True)
class Difference:
    """``what`` differs: "status", "header NAME", "cookie NAME", "body", "stream", "cut", "whole", "left", "answer",
    "refused"."""

    what: str
    native: str
    bridged: str


def differences(request: Request, native: Asked, again: Asked, bridged: Asked) -> list[Difference]:
    """What differs between two native answers that agree, and the bridged one."""
    if request.break_off:  # nobody is there to be answered
        return []
    return list(_differences(native, again, bridged))


def _differences(native: Asked, again: Asked, bridged: Asked) -> Iterator[Difference]:
    one, two, other = native.answer, again.answer, bridged.answer
    if native.record is None and again.record is None and bridged.record is None:
        return  # the servers' own answers
    if one.status != two.status:
        return
    if _fails(native) and _fails(bridged):
        return  # cut off, or a 500 where nothing was out yet: the client knows
    if bool(one.status) != bool(other.status):
        yield Difference("answer", _outcome(native), _outcome(bridged))
        return
    reached = native.record is not None and again.record is not None
    if reached != (bridged.record is not None):
        if one.status != other.status:
            yield Difference("refused", _outcome(native), _outcome(bridged))
        return
    if one.status != other.status:
        yield Difference("status", _outcome(native), _outcome(bridged))
        return
    if not _is_servers_page(native):
        of_bodies = list(_bodies(native, again, bridged))
        # Another body has another length, and mostly another tag.
        other_body = bool(of_bodies) or one.body != two.body
        for difference in _heads(one, two, other):
            if not other_body or difference.what not in {"header content-length", "header etag"}:
                yield difference
        yield from of_bodies
    yield from _ends(native, again, bridged)


def _outcome(asked: Asked) -> str:
    answer, raised = asked.answer, asked.record.raised if asked.record else ""
    said = ", ".join(filter(None, [str(answer.status) if answer.status else "", answer.error]))
    return f"{said} ({raised})" if raised else said


def _fails(asked: Asked) -> bool:
    """The app has raised, and the client has a 500 of the server's, half a response, or none."""
    answer, record = asked.answer, asked.record
    broken_off = not answer.complete and not answer.left
    return record is not None and bool(record.raised) and (broken_off or _is_servers_page(asked))


def _is_servers_page(asked: Asked) -> bool:
    """The app has raised before its own response was out: what the client gets is the server's."""
    record = asked.record
    return record is not None and bool(record.raised) and record.status != asked.answer.status


# --- heads --------------------------------------------------------------------------------------------------


def _heads(one: Answer, two: Answer, other: Answer) -> Iterator[Difference]:
    first, second, third = map(_fields, (one, two, other))
    for name in sorted(first.keys() | third.keys()):
        values = [fields.get(name, []) for fields in (first, second, third)]
        if name == "content-length" and not (values[0] and values[2]):
            continue  # how a body is framed is the server's, unless the app has said its length
        if bool(values[0]) != bool(values[1]):
            continue
        joined = ["\n".join(value) for value in values]
        if bool(values[0]) != bool(values[2]) or not agrees(*joined):
            what = name if name.startswith("cookie ") else f"header {name}"
            yield Difference(what, _shown(joined[0]), _shown(joined[2]))


def _fields(answer: Answer) -> dict[str, list[str]]:
    """The values by their names; each cookie for itself, so that the noise in one hides no other."""
    fields: dict[str, list[str]] = {}
    for name, value in answer.headers:
        name = name.lower()
        if name == "set-cookie":
            pair, _, attributes = value.partition(";")
            cookie, _, content = pair.partition("=")
            fields.setdefault(f"cookie {cookie}", []).append(f"{content};{attributes}")
        elif name in _UNORDERED:
            fields.setdefault(name, []).append(", ".join(sorted(part.strip() for part in value.split(","))))
        elif name not in SERVERS_OWN:
            fields.setdefault(name, []).append(value)
    return fields


# --- bodies -------------------------------------------------------------------------------------------------


def _bodies(native: Asked, again: Asked, bridged: Asked) -> Iterator[Difference]:
    answers = native.answer, again.answer, bridged.answer
    # A stream that the client has left, or a body that was cut: where, is chance.
    if not all(answer.complete or answer.left == "size" for answer in answers):
        return
    one, two, other = (_content(answer) for answer in answers)
    if other in {one, two}:
        return
    if one == two or _text_agrees(native.answer, one, two, other) is False:
        yield Difference("body", *_where(one, two, other))


def unread(answer: Answer) -> str:
    """What the body of an answer is said to be, and is not: it is compared as it came. Empty: it is that."""
    if not answer.complete or not answer.body:
        return ""
    body = _unpacked(answer)
    if body is None:
        return _header(answer, "content-encoding")
    return "JSON" if _is_json(answer) and _json_of(body) is None else ""


def _header(answer: Answer, wanted: str) -> str:
    return next((value for name, value in answer.headers if name.lower() == wanted), "")


def _is_json(answer: Answer) -> bool:
    return "json" in _header(answer, "content-type")


def _content(answer: Answer) -> bytes:
    """The body, unpacked if it is packed: packers put times into what they make."""
    if not answer.complete:
        return answer.body
    unpacked = _unpacked(answer)
    return answer.body if unpacked is None else unpacked


def _unpacked(answer: Answer) -> bytes | None:
    """The body of a complete answer without its Content-Encoding; None: it is not packed so, whatever it says."""
    try:
        match _header(answer, "content-encoding"):
            case "gzip":
                return gzip.decompress(answer.body)
            case "deflate":
                return zlib.decompress(answer.body)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return None
    return answer.body


def _json_of(body: bytes | str) -> tuple[object] | None:
    """What a JSON text says, in a tuple, for it may say ``null``; None: it is no JSON text that Python can read."""
    try:
        return (json.loads(body),)
    except (ValueError, RecursionError):  # also a number of thousands of digits, or nested too deep
        return None


def _text_agrees(answer: Answer, *bodies: bytes) -> bool | None:
    """Whether the third agrees with the first two where they agree; None where that can't be said."""
    try:
        one, two, other = (body.decode() for body in bodies)
    except UnicodeDecodeError:
        return None
    if _is_json(answer):
        read = [_json_of(text) for text in (one, two, other)]
        values = [value for each in read if each is not None for value in each]
        if len(values) == len(read):
            return _json_agrees(*values)
    return agrees(one, two, other)


def agrees(native: str, again: str, bridged: str) -> bool:
    """Whether ``bridged`` is as both others are, wherever these agree; what varies natively is left out."""
    if bridged in {native, again}:
        return True
    if native == again:
        return False
    words = [re.findall(r"\w+|\W", text) for text in (native, again, bridged)]
    if len(words[0]) == len(words[1]) == len(words[2]):
        return all(one != two or one == other for one, two, other in zip(*words, strict=True))
    lines = [set(text.splitlines()) for text in (native, again, bridged)]
    return (lines[0] & lines[1]) <= lines[2]


def _json_agrees(native: object, again: object, bridged: object) -> bool:
    one, two, other = (dict(_flat(value)) for value in (native, again, bridged))
    steady = {path for path in one.keys() & two.keys() if one[path] == two[path]}
    if any(path not in other or other[path] != one[path] for path in steady):
        return False
    return one.keys() != two.keys() or other.keys() == one.keys()


def _flat(root: object) -> Iterator[tuple[str, object]]:
    """Each plain value by its place. Without recursion: a text that can be read may be nested deeper than that goes."""
    todo = [("", root)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict) and value:
            todo += [(f"{path}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, list) and value:
            todo += [(f"{path}[{number}]", inner) for number, inner in enumerate(value)]
        else:
            # A number's type too: 1, 1.0 and true are equal in Python.
            yield path, (type(value).__name__, value)


def _where(one: bytes, two: bytes, other: bytes) -> tuple[str, str]:
    """The first and the last body from shortly before where they begin to differ, past what varies natively."""
    words = [re.findall(r"\w+|\W", body.decode("utf-8", "replace")) for body in (one, two, other)]
    at = next((at for at, (a, b, c) in enumerate(zip(*words, strict=False)) if a == b != c), None)
    if at is None:  # one goes on where the other ends, or what varies has another length
        at = next(
            (at for at, (a, _, c) in enumerate(zip(*words, strict=False)) if a != c), min(map(len, words))
        )
    shown = ["".join(text[max(0, at - 8) : at + 24]) for text in (words[0], words[2])]
    dots = "..." if at > 8 else ""
    native, bridged = (
        _shown(f"{len(body)} bytes: {dots}{text}") for body, text in zip((one, other), shown, strict=True)
    )
    return native, bridged


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


# --- how it came --------------------------------------------------------------------------------------------


def _ends(native: Asked, again: Asked, bridged: Asked) -> Iterator[Difference]:
    both, other = (native, again), bridged
    lefts = [asked.answer.left for asked in (*both, other)]
    if not any(lefts):
        whole = [asked.answer.complete for asked in (*both, other)]
        # Where the app has raised on both sides, it is the native server that hides it.
        if whole == [True, True, False] and not (native.record and native.record.raised):
            yield Difference("cut", "it is whole", _outcome(other))
        elif whole == [False, False, True]:
            yield Difference("whole", _outcome(native), "it ends like a whole response")
    if all(_streams(asked) for asked in both) and (_streams(other) is False or _gathered(other)):
        yield Difference("stream", "sent as it is made", "held back until the end")
    if all(left == "time" for left in lefts) and not any(_gone(asked) for asked in both) and _gone(other):
        yield Difference("left", "the app is ended when its client leaves", "the app runs on")


def _streams(asked: Asked) -> bool | None:
    """Whether the client had the first byte before the app made the last one; None: it makes all at once."""
    answer, record = asked.answer, asked.record
    if answer.left == "time":
        return answer.first_at is not None
    if record is None or record.first_made is None or record.last_made is None:
        return None
    if record.last_made - record.first_made < _STREAM:
        return None
    return answer.first_at is not None and answer.first_at < record.last_made


def _gathered(asked: Asked) -> bool:
    """The app has made all at once what took it as long as a stream."""
    first = asked.answer.first_at
    return _streams(asked) is None and first is not None and first - asked.answer.sent_at >= _STREAM


def _gone(asked: Asked) -> bool:
    """The app has not been told, or has not heeded, that its client left."""
    record = asked.record
    return record is None or not record.ended or record.ended_at > asked.answer.ended_at + LEAVING
