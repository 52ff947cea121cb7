"""``to_asgi.sending``: a batch as the messages of the server's ``send()``."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.to_asgi.channel import Batch, End, Item
from bridge.to_asgi.sending import _LARGE, _PIECE, messages_of
from bridge.types import Message

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY = "http.response.body"
SIZES = [1, 100, _LARGE - 1, _LARGE, _LARGE + 1, _PIECE, _PIECE + 1, 2 * _PIECE]


def pieces(*sizes: int) -> list[Item]:
    """Pieces of such lengths, each of another byte."""
    return [bytes([65 + number]) * size for number, size in enumerate(sizes)]


def bodies(items: list[Item], end: End = End.MORE) -> list[bytes]:
    return [message["body"] for message in messages_of(Batch(items, end)) if message["type"] == BODY]


def body(data: bytes, *, more: bool) -> Message:
    return {"type": BODY, "body": data, "more_body": more}


def test_the_usual_response() -> None:
    assert list(messages_of(Batch([START, b"hello"], End.COMPLETE))) == [START, body(b"hello", more=False)]


def test_an_end_without_a_piece() -> None:
    batches: list[list[Item]] = [[], [START], [b"x", START]]
    for items in batches:
        assert list(messages_of(Batch(items, End.COMPLETE)))[-1] == body(b"", more=False)


def test_a_batch_that_says_nothing_sends_nothing() -> None:
    for end in (End.MORE, End.BROKEN):
        assert not list(messages_of(Batch([], end)))


def test_small_pieces_are_joined() -> None:
    assert bodies(pieces(*[100] * 100)) == [b"".join(pieces(*[100] * 100))]  # type: ignore[arg-type]


def test_a_large_piece_is_sent_as_it_is() -> None:
    """The very object, not a copy, between small ones that are there too."""
    items = pieces(100, _LARGE, _LARGE, 100, 100)
    sent = bodies(items, End.COMPLETE)
    assert sent[1] is items[1]
    assert sent[2] is items[2]
    assert [len(data) for data in sent] == [100, _LARGE, _LARGE, 200]


def test_a_huge_piece_is_cut() -> None:
    for size, sizes in (
        (_PIECE, [_PIECE]),
        (_PIECE + 1, [_PIECE, 1]),
        (3 * _PIECE, [_PIECE] * 3),
        (3 * _PIECE - 1, [_PIECE, _PIECE, _PIECE - 1]),
    ):
        sent = list(messages_of(Batch(pieces(size), End.COMPLETE)))
        assert [len(message["body"]) for message in sent] == sizes
        assert [message["more_body"] for message in sent] == [True] * (len(sizes) - 1) + [False]


items = st.lists(st.one_of(st.sampled_from(SIZES), st.none()), max_size=12)


@given(sizes=items, end=st.sampled_from(End))
def test_any_batch(sizes: list[int | None], end: End) -> None:
    batch: list[Item] = [
        START if size is None else bytes([number]) * size for number, size in enumerate(sizes)
    ]
    sent = list(messages_of(Batch(list(batch), end)))
    assert _run(sent) == _run(batch), "all of it, in order"
    said: list[Any] = [message["more_body"] for message in sent if message["type"] == BODY]
    if end is End.COMPLETE:
        assert sent[-1]["type"] == BODY, "the last message is the end"
        assert said.pop() is False
    assert all(said), "and no other one is"
    for before, after in pairwise(sent):
        # What is left of a huge one may be small.
        if before["type"] == after["type"] == BODY and after["body"] and max(filter(None, sizes)) <= _PIECE:
            assert max(len(before["body"]), len(after["body"])) >= _LARGE, "small ones are joined"
    assert all(len(message["body"]) <= _PIECE for message in sent if message["type"] == BODY)


def _run(things: list[Any]) -> list[Any]:
    """The bytes between the messages, and the messages."""
    found: list[Any] = [b""]
    for thing in things:
        data = thing if isinstance(thing, bytes) else thing.get("body")
        if data is None:
            found += [thing, b""]
        else:
            found[-1] += data
    return found
