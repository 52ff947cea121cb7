"""The probe around a WSGI app: it writes down what the app does, and changes nothing of it."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from tests.check.written import Written


def environ(mark: str = "token:7") -> dict[str, Any]:
    found: dict[str, Any] = {"HTTP_X_BRIDGE_CHECK": mark, "REMOTE_ADDR": "192.0.2.1"}
    setup_testing_defaults(found)
    return found


def start_response(*args: Any) -> Callable[[bytes], object]:
    return lambda data: None


Start = Callable[..., Callable[[bytes], object]]


def test_a_list_goes_on_as_it_is(written: Written) -> None:
    seen: list[dict[str, Any]] = []
    body = [b"a", b"b"]

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        seen.append(environ)
        start_response("200 OK", [("Content-Length", "2")])
        return body

    given = environ()
    assert written.wsgi(app)(given, start_response) is body
    assert seen[0] is given
    assert "HTTP_X_BRIDGE_CHECK" not in given, "the app doesn't see that it is checked"
    (begin,) = written.events("begin")
    assert (begin["number"], begin["peer"], begin["scheme"]) == (7, "192.0.2.1", "http")
    assert (written.end()["status"], written.end()["raised"], written.looks) == (200, "", 1)
    assert written.events("rule") == []


def test_a_file_goes_on_as_it_is(written: Written) -> None:
    wrapped = FileWrapper(io.BytesIO(b"file"))

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return wrapped

    given = environ() | {"wsgi.file_wrapper": FileWrapper}
    assert written.wsgi(app)(given, start_response) is wrapped
    assert written.end()["file"] is True


class Body:
    """An iterable that counts how often it is closed."""

    def __init__(self, *, fails: bool = False) -> None:
        self.closed = 0
        self.fails = fails

    def __iter__(self) -> Iterator[bytes]:
        yield b""
        yield b"one"
        if self.fails:
            raise LookupError("in the middle")
        yield b"two"

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("fails", [False, True])
def test_an_iterable_is_iterated_and_closed(fails: bool, written: Written) -> None:
    body = Body(fails=fails)

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return body

    result: Any = written.wsgi(app)(environ(), start_response)
    items = []
    try:
        items += iter(result)
    except LookupError:
        assert fails
    else:
        assert not fails
        assert items == [b"", b"one", b"two"]
        assert written.events("end") == [], "not before it is closed"
    result.close()
    assert body.closed == 1
    assert written.end()["raised"] == ("LookupError: in the middle" if fails else "")
    assert written.end()["first_made"] is not None


def test_an_app_that_raises(written: Written) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        raise LookupError("at once")

    with pytest.raises(LookupError):
        written.wsgi(app)(environ(), start_response)
    assert (written.end()["raised"], written.end()["status"]) == ("LookupError: at once", 0)


def test_write_and_exc_info_reach_the_server(written: Written) -> None:
    calls: list[Any] = []
    chunks: list[bytes] = []

    def start(*args: Any) -> Callable[[bytes], object]:
        calls.append(args)
        return chunks.append

    info = (LookupError, LookupError(), None)

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("500 Oops", [], info)(b"written")
        return []

    assert list(written.wsgi(app)(environ(), start)) == []
    assert calls == [("200 OK", []), ("500 Oops", [], info)]
    assert chunks == [b"written"]
    assert written.end()["status"] == 500


def test_a_broken_rule_is_written_once_and_nothing_is_changed(written: Written) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "5")])
        return ["text"]

    for _ in range(2):
        items: list[Any] = list(written.wsgi(app)(environ(), start_response))
        assert items == ["text"]
    rules = [event["rule"] for event in written.events("rule")]
    assert rules == ["a piece of the body is str, not bytes", "Content-Length is 5, the body has 0 bytes"]


def test_commands_and_requests_of_others(written: Written) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        return [b"the app's"]

    probed = written.wsgi(app)
    assert list(probed(environ("token:begin"), start_response)) == []
    assert written.measured == ["begin"]
    assert list(probed(environ("other:7"), start_response)) == [b"the app's"]
    assert list(probed(environ(""), start_response)) == [b"the app's"]
    assert written.events("begin") == []
