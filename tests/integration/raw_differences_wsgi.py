"""The differences that ``test_raw_requests_wsgi`` knows of, each with its reason.

Most are between two HTTP parsers, gunicorn's and uvicorn's h11, and bridge has no part in them.
"""

from tests.integration.raw_differences import Difference

__all__ = ["DIFFERENCES"]

WSGI: tuple[Difference, ...] = (
    Difference(
        "An environ has one string for a name: gunicorn joins fields with a comma.",
        (
            *("header duplicate", "header duplicate in another case", "header duplicate, apart"),
            *("header duplicate, empty", "header three"),
        ),
        ("scope:x-test",),
    ),
    Difference("The same for Accept.", ("header accept twice",), ("scope:accept",)),
    Difference(
        "The same for Cookie, which no client sends twice in HTTP/1 (RFC 6265, section 5.4). A comma may stand in a "
        "cookie's value, so bridge can't tell where gunicorn has put one.",
        ("header two cookies",),
        ("scope:cookie",),
    ),
    Difference(
        "In an environ an underscore can't be told from a hyphen: gunicorn drops names that have one.",
        ("header hyphen and underscore", "header underscore", "header underscore and hyphen"),
        ("scope:x_test",),
    ),
    Difference("The same.", ("header content length, underscore",), ("scope:content_length",)),
    Difference("The same.", ("header content type, underscore",), ("scope:content_type",)),
    Difference(
        "HTTP_PROXY is the environ's, and never a header: bridge drops it.",
        ("header proxy",),
        ("scope:proxy",),
    ),
    Difference(
        "WSGI wants a reason phrase: bridge makes one for a status that has none.",
        ("answer unknown-status", "answer unknown-status to HEAD"),
    ),
    Difference(
        "An app that sends more than its Content-Length: bridge has passed nothing on yet, and it is a 500; uvicorn "
        "has, and cuts the connection.",
        ("answer length-too-small",),
    ),
)

PARSERS: tuple[Difference, ...] = (
    Difference(
        "gunicorn takes absolute targets apart; uvicorn passes them on as they are.",
        ("path http://other/absolute", "path http://test", "path http://test/absolute?x=1"),
        ("scope:path", "scope:raw_path"),
    ),
    Difference(
        "gunicorn cuts the fragment off, which a client never sends.", ("path /a#b",), ("scope:path",)
    ),
    Difference("The same, in the query.", ("query a=b#c",), ("scope:query_string",)),
    Difference(
        "uvicorn trusts forwarded addresses from 127.0.0.1 unless told otherwise.",
        ("header forwarded",),
        ("scope:client",),
    ),
    Difference("h11 writes the coding in lower case.", ("chunked upper",), ("scope:transfer-encoding",)),
    Difference(
        "h11 wants a Host header in HTTP/1.1, and no empty line before a request.",
        ("host missing", "leading line end"),
    ),
    Difference(
        "gunicorn refuses a length that is given twice, even if equal, or beside chunks, and chunks in HTTP/1.0.",
        (
            *("body length list", "body length twice", "chunked and length", "chunked and wrong length"),
            "chunked HTTP/1.0",
        ),
    ),
    Difference(
        "gunicorn refuses methods in lower case or of 30 letters, a target without a slash, two Content-Types, an "
        "unknown Expect, folded headers, and HTTP/3.0 in HTTP/1's form.",
        (
            *("method Get", "method get", f"method {'A' * 30}", "path a", "header content type twice"),
            *("header expect, unknown", "header folded", "version 3.0"),
        ),
    ),
)

DIFFERENCES = WSGI + PARSERS
