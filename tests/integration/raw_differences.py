"""The differences that ``test_raw_requests`` knows of, each with its reason.

Most are between two HTTP parsers, and bridge has no part in them. Where it has, the reason says so.
"""

from dataclasses import dataclass

from tests.support.faults import installed

__all__ = ["CHUNKED", "DIFFERENCES", "Difference"]

BOTH_BRIDGED = ("uvicorn", "granian")
BOTH_NATIVE = ("gunicorn", "waitress")


@dataclass(frozen=True, slots=True)
class Difference:
    """``requests`` differ in ``fields`` between every one of ``bridged`` and every one of ``native``.

    ``versions``: requirements, such as ``gunicorn<28``, that the installed versions have to meet, all of them; else
    there is no difference. Without any: it is there in all versions, as far as tested.
    """

    reason: str
    requests: tuple[str, ...]
    fields: tuple[str, ...] = ("status",)
    bridged: tuple[str, ...] = BOTH_BRIDGED
    native: tuple[str, ...] = BOTH_NATIVE
    versions: tuple[str, ...] = ()

    def is_between(self, bridged: str, native: str) -> bool:
        """Whether it is one of these two, in their installed versions."""
        return bridged in self.bridged and native in self.native and all(map(installed, self.versions))


CHUNKED = (
    *("chunked", "chunked binary", "chunked empty", "chunked expect", "chunked extension", "chunked large"),
    *("chunked size upper", "chunked size zeros", "chunked three", "chunked trailer", "chunked upper"),
)

BRIDGE: tuple[Difference, ...] = (
    Difference(
        "bridge counts a chunked body, which waits in its buffer, and then it is no longer chunked: so frameworks "
        "that look for Content-Length read it. waitress does the same; gunicorn leaves it to the app.",
        CHUNKED,
        ("environ:CONTENT_LENGTH", "environ:HTTP_TRANSFER_ENCODING"),
        native=("gunicorn",),
    ),
    Difference(
        "bridge counts the body, so the length has no leading zeros.",
        ("body length with zeros",),
        ("environ:CONTENT_LENGTH",),
    ),
    Difference(
        "Cookie fields are joined with a semicolon (RFC 6265, section 5.4; ASGI has them apart for HTTP/2).",
        ("header two cookies",),
        ("environ:HTTP_COOKIE",),
    ),
    Difference(
        "The Proxy header would be read as the HTTP_PROXY of CGI programs, so bridge drops it.",
        ("header proxy",),
        ("environ:HTTP_PROXY",),
    ),
    Difference(
        "Fields of one name are joined with a comma alone, as gunicorn does; waitress adds a space.",
        (
            *("header duplicate", "header duplicate in another case", "header duplicate, apart"),
            *("header duplicate, empty", "header three"),
        ),
        ("environ:HTTP_X_TEST",),
        native=("waitress",),
    ),
    Difference(
        "The same for Accept.", ("header accept twice",), ("environ:HTTP_ACCEPT",), native=("waitress",)
    ),
    Difference(
        "The same for Content-Type.",
        ("header content type twice",),
        ("environ:CONTENT_TYPE",),
        native=("waitress",),
    ),
    Difference(
        "PATH_INFO begins with a slash or is empty (RFC 3875, section 4.1.5), also for the target *.",
        ("path *",),
        ("environ:PATH_INFO",),
    ),
    Difference(
        "An absolute target without a path has the path / (RFC 9110, section 4.2.3).",
        ("path http://test",),
        ("environ:PATH_INFO",),
    ),
    Difference(
        "ASGI has no reason phrase; the server puts in the one it knows, or none.",
        ("answer unknown-status", "answer unknown-status to HEAD"),
    ),
)

UVICORN: tuple[Difference, ...] = (
    Difference(
        "h11 wants a Host header in HTTP/1.1, and no empty line before a request.",
        ("host missing", "leading line end"),
        bridged=("uvicorn",),
    ),
    Difference("h11 takes a list of equal lengths.", ("body length list",), bridged=("uvicorn",)),
    Difference(
        "h11 keeps the fragment in the target; a client never sends one.",
        ("path /a#b",),
        ("environ:PATH_INFO",),
        bridged=("uvicorn",),
    ),
    Difference("The same, in the query.", ("query a=b#c",), ("environ:QUERY_STRING",), bridged=("uvicorn",)),
    Difference(
        "uvicorn trusts forwarded addresses from 127.0.0.1 unless told otherwise.",
        ("header forwarded",),
        ("environ:REMOTE_ADDR",),
        bridged=("uvicorn",),
    ),
    Difference(
        "uvicorn takes X-Forwarded-Proto from 127.0.0.1; waitress takes none.",
        ("header forwarded",),
        ("environ:url_scheme",),
        bridged=("uvicorn",),
        native=("waitress",),
    ),
    Difference(
        "h11 reads chunks in HTTP/1.0 too; gunicorn refuses them.",
        ("chunked HTTP/1.0",),
        bridged=("uvicorn",),
        native=("gunicorn",),
    ),
    Difference(
        "h11 reads chunks in HTTP/1.0 too; waitress does not read such a body.",
        ("chunked HTTP/1.0",),
        ("environ:CONTENT_LENGTH", "environ:HTTP_TRANSFER_ENCODING", "environ:body"),
        bridged=("uvicorn",),
        native=("waitress",),
    ),
    Difference(
        "h11 joins a folded header and takes HTTP/3.0 in HTTP/1's form; gunicorn refuses both.",
        ("header folded", "version 3.0"),
        bridged=("uvicorn",),
        native=("gunicorn",),
    ),
    Difference(
        "waitress calls a version that it does not know 1.0.",
        ("version 1.2", "version 3.0"),
        ("environ:SERVER_PROTOCOL",),
        bridged=("uvicorn",),
        native=("waitress",),
    ),
    Difference(
        "h11 refuses a second Host, chunked said twice, and a target without a slash; waitress takes them.",
        ("host twice", "chunked twice", "path a"),
        bridged=("uvicorn",),
        native=("waitress",),
    ),
)

GRANIAN: tuple[Difference, ...] = (
    Difference(
        "granian tells garbage in place of a chunk's size as a disconnect, and answers 500 itself when nobody does.",
        ("chunked bad size",),
        bridged=("granian",),
    ),
    Difference(
        "hyper has a reason phrase of its own spelling.",
        ("answer teapot", "answer teapot to HEAD"),
        bridged=("granian",),
    ),
    Difference(
        "hyper refuses targets with characters that a URI can't have.",
        ("path /<a>", "path /a`b", 'query a="b"', "query a=<b>"),
        bridged=("granian",),
    ),
    Difference(
        "hyper takes UTF-8 in a target.", ("path /caf\xc3\xa9", "query a=caf\xc3\xa9"), bridged=("granian",)
    ),
    Difference("hyper knows 1.0 and 1.1.", ("version 1.2",), bridged=("granian",)),
    Difference(
        "granian adds an empty Host where there is none.",
        ("host missing", "version 1.0 without host"),
        ("environ:HTTP_HOST",),
        bridged=("granian",),
    ),
    Difference(
        "granian does not look at X-Forwarded-Proto; gunicorn trusts it from 127.0.0.1.",
        ("header forwarded",),
        ("environ:url_scheme",),
        bridged=("granian",),
        native=("gunicorn",),
    ),
    Difference(
        "hyper takes two Hosts and a target without a slash; gunicorn refuses them.",
        ("host twice", "path a"),
        bridged=("granian",),
        native=("gunicorn",),
    ),
    Difference(
        "hyper takes chunked said twice, and bridge answers 501, as to any coding but one; waitress takes it.",
        ("chunked twice",),
        bridged=("granian",),
    ),
    Difference(
        "hyper gives a target without a slash an empty path.",
        ("path a",),
        ("environ:PATH_INFO",),
        bridged=("granian",),
        native=("waitress",),
    ),
    Difference(
        "The two Hosts are joined with a comma alone, as other fields.",
        ("host twice",),
        ("environ:HTTP_HOST",),
        bridged=("granian",),
        native=("waitress",),
    ),
    Difference(
        "hyper refuses chunks in HTTP/1.0, folded headers and HTTP/3.0 in HTTP/1's form; waitress takes them.",
        ("chunked HTTP/1.0", "header folded", "version 3.0"),
        bridged=("granian",),
        native=("waitress",),
    ),
)

GUNICORN_AND_WAITRESS: tuple[Difference, ...] = (
    Difference("Both refuse a length given twice, even if equal.", ("body length twice",)),
    Difference("Both refuse methods with lower case letters.", ("method Get", "method get")),
    Difference(
        "gunicorn refuses a length beside chunks, two Content-Types, an unknown Expect, and a method of 30 letters.",
        (
            *("chunked and length", "chunked and wrong length", "header content type twice"),
            *("header expect, unknown", f"method {'A' * 30}"),
        ),
        native=("gunicorn",),
    ),
    Difference(
        "waitress answers 501 where others answer 400, and takes HTTP/0.9.",
        ("chunked gzip", "chunked identity", "version none"),
        native=("waitress",),
    ),
    Difference(
        "waitress takes leading slashes together.",
        ("path //", "path ///", "path //a", "path //a//b//"),
        ("environ:PATH_INFO",),
        native=("waitress",),
    ),
    Difference(
        "waitress removes forwarding headers from whom it does not trust.",
        ("header forwarded",),
        ("environ:HTTP_X_FORWARDED_FOR", "environ:HTTP_X_FORWARDED_PROTO"),
        native=("waitress",),
    ),
    Difference(
        "The same for the host.",
        ("header forwarded host",),
        ("environ:HTTP_X_FORWARDED_HOST", "environ:HTTP_FORWARDED"),
        native=("waitress",),
    ),
)

DIFFERENCES = BRIDGE + UVICORN + GRANIAN + GUNICORN_AND_WAITRESS
