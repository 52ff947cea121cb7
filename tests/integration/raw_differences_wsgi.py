"""The differences that ``test_raw_requests_wsgi`` knows of, each with its reason.

Most are between HTTP parsers: those of gunicorn, waitress and cheroot, under which bridge runs the app, and
the two of uvicorn, h11 and httptools. Bridge has no part in them.
"""

from tests.integration.raw_differences import CHUNKED, Difference

__all__ = ["DIFFERENCES"]

WSGI = ("gunicorn", "waitress", "cheroot")
UVICORN = ("h11", "httptools")


def _differ(
    reason: str,
    requests: tuple[str, ...],
    fields: tuple[str, ...] = ("status",),
    *,
    under: tuple[str, ...] = WSGI,
    on: tuple[str, ...] = UVICORN,
    versions: tuple[str, ...] = (),
) -> Difference:
    return Difference(reason, requests, fields, bridged=under, native=on, versions=versions)


ENVIRON: tuple[Difference, ...] = (
    _differ(
        "An environ has one string for a name: gunicorn and waitress join fields with a comma, cheroot keeps the "
        "last one, but for Accept and some others.",
        (
            *("header duplicate", "header duplicate in another case", "header duplicate, apart"),
            *("header duplicate, empty", "header three"),
        ),
        ("scope:x-test",),
    ),
    _differ("The same for Accept.", ("header accept twice",), ("scope:accept",)),
    _differ(
        "The same for Cookie, which no client sends twice in HTTP/1 (RFC 6265, section 5.4). A comma may stand in a "
        "cookie's value, so bridge can't tell where a server has put one.",
        ("header two cookies",),
        ("scope:cookie",),
    ),
    _differ(
        "The same for Content-Type, of which gunicorn takes no two.",
        ("header content type twice",),
        ("scope:content-type",),
        under=("waitress", "cheroot"),
    ),
    _differ("The same.", ("header content type twice",), under=("gunicorn",)),
    _differ(
        "The same for Host, of which gunicorn and h11 take no two.",
        ("host twice",),
        ("scope:host",),
        under=("waitress", "cheroot"),
        on=("httptools",),
    ),
    _differ("The same.", ("host twice",), under=("waitress", "cheroot"), on=("h11",)),
    _differ("The same.", ("host twice",), under=("gunicorn",), on=("httptools",)),
    _differ(
        "In an environ an underscore can't be told from a hyphen: gunicorn and waitress drop names that have one.",
        ("header hyphen and underscore", "header underscore", "header underscore and hyphen"),
        ("scope:x_test",),
    ),
    _differ(
        "cheroot takes one for the other.",
        ("header underscore", "header underscore and hyphen"),
        ("scope:x-test",),
        under=("cheroot",),
    ),
    _differ("The same.", ("header content type, underscore",), ("scope:content_type",)),
    _differ("The same.", ("header content type, underscore",), ("scope:content-type",), under=("cheroot",)),
    _differ(
        "The same.",
        ("header content length, underscore",),
        ("scope:content_length",),
        under=("gunicorn", "waitress"),
    ),
    _differ(
        "The same, so that a body is missing, and bridge answers nobody.",
        ("header content length, underscore",),
        under=("cheroot",),
    ),
    _differ(
        "HTTP_PROXY is the environ's, and never a header: bridge drops it.",
        ("header proxy",),
        ("scope:proxy",),
    ),
    _differ(
        "WSGI wants a reason phrase: bridge makes one for a status that has none.",
        ("answer unknown-status", "answer unknown-status to HEAD"),
    ),
    _differ(
        "An app that sends more than its Content-Length: bridge has passed nothing on yet, and it is a 500; uvicorn "
        "has, and cuts the connection.",
        ("answer length-too-small",),
    ),
)

ABSOLUTE = ("path http://other/absolute", "path http://test/absolute?x=1")
SLASHES = ("path //", "path ///")

TARGETS: tuple[Difference, ...] = (
    _differ(
        "gunicorn and waitress take absolute targets apart, as httptools does; h11 passes them on as they are.",
        (*ABSOLUTE, "path http://test"),
        ("scope:path", "scope:raw_path"),
        under=("gunicorn", "waitress"),
        on=("h11",),
    ),
    _differ(
        "httptools wants a path in them.",
        ("path http://test",),
        under=("gunicorn", "waitress"),
        on=("httptools",),
    ),
    _differ("cheroot refuses them.", ABSOLUTE, under=("cheroot",)),
    _differ("The same.", ("path http://test",), under=("cheroot",), on=("h11",)),
    _differ(
        "gunicorn and waitress cut the fragment off, which a client never sends; h11 leaves it in the path.",
        ("path /a#b",),
        ("scope:path",),
        under=("gunicorn", "waitress"),
        on=("h11",),
    ),
    _differ(
        "The same, in the query.",
        ("query a=b#c",),
        ("scope:query_string",),
        under=("gunicorn", "waitress"),
        on=("h11",),
    ),
    _differ(
        "httptools cuts it off in the raw path too.",
        ("path /a#b",),
        ("scope:raw_path",),
        under=("gunicorn", "waitress"),
        on=("httptools",),
    ),
    _differ("cheroot refuses it.", ("path /a#b", "query a=b#c"), under=("cheroot",)),
    _differ(
        "waitress makes one slash of several at the beginning of PATH_INFO.",
        (*SLASHES, "path //a", "path //a//b//"),
        ("scope:path",),
        under=("waitress",),
    ),
    _differ(
        "cheroot takes what follows two slashes for a host, which it wants in no target.",
        ("path //a", "path //a//b//"),
        under=("cheroot",),
    ),
    _differ("The same, where nothing follows.", SLASHES, ("scope:path",), under=("cheroot",)),
    _differ(
        "cheroot leaves an encoded slash in PATH_INFO as it is, and puts a slash before the target *.",
        ("path /a%2Fb", "path /a%2fb", "path *"),
        ("scope:path",),
        under=("cheroot",),
    ),
    _differ("A target without a slash.", ("path a",), under=("gunicorn", "cheroot"), on=("h11",)),
    _differ("The same.", ("path a",), under=("waitress",), on=("httptools",)),
)

FIELDS: tuple[Difference, ...] = (
    _differ(
        "uvicorn trusts forwarded addresses from 127.0.0.1 unless told otherwise.",
        ("header forwarded",),
        ("scope:client",),
    ),
    _differ(
        "The same for the scheme, as gunicorn does.",
        ("header forwarded",),
        ("scope:scheme",),
        under=("waitress", "cheroot"),
    ),
    _differ(
        "waitress drops what it is not told to trust.",
        ("header forwarded",),
        ("scope:x-forwarded-for", "scope:x-forwarded-proto"),
        under=("waitress",),
    ),
    _differ(
        "The same.",
        ("header forwarded host",),
        ("scope:forwarded", "scope:x-forwarded-host"),
        under=("waitress",),
    ),
    _differ(
        "httptools leaves white space behind a value.",
        ("header spaces", "header tabs"),
        ("scope:x-test",),
        on=("httptools",),
    ),
    _differ("The same.", ("body length with spaces",), ("scope:content-length",), on=("httptools",)),
    _differ(
        "h11 wants a Host, and no empty line before a request.",
        ("host missing", "leading line end"),
        on=("h11",),
    ),
    _differ("gunicorn refuses an unknown Expect.", ("header expect, unknown",), under=("gunicorn",)),
    _differ(
        "gunicorn and httptools refuse folded headers.", ("header folded",), under=("gunicorn",), on=("h11",)
    ),
    _differ("The same.", ("header folded",), under=("waitress", "cheroot"), on=("httptools",)),
    _differ(
        "cheroot forgets the first line of a folded one.",
        ("header folded",),
        ("scope:x-test",),
        under=("cheroot",),
        on=("h11",),
    ),
    _differ(
        "cheroot takes a blank before the colon (RFC 9112, section 5.1). What else it takes for a name or a value, "
        "bridge refuses.",
        ("header space before colon",),
        under=("cheroot",),
    ),
)

BODIES: tuple[Difference, ...] = (
    _differ(
        "waitress counts a chunked body, which is no longer chunked then.",
        CHUNKED,
        ("scope:content-length", "scope:transfer-encoding"),
        under=("waitress",),
    ),
    _differ(
        "h11 writes the coding in lower case.",
        ("chunked upper",),
        ("scope:transfer-encoding",),
        under=("gunicorn", "cheroot"),
        on=("h11",),
    ),
    _differ(
        "httptools takes trailers for headers.", ("chunked trailer",), ("scope:x-trailer",), on=("httptools",)
    ),
    _differ(
        "A length that is given twice, though equal: h11 takes it, cheroot in two fields.",
        ("body length list",),
        on=("h11",),
    ),
    _differ("The same.", ("body length twice",), under=("gunicorn", "waitress"), on=("h11",)),
    _differ("The same.", ("body length twice",), under=("cheroot",), on=("httptools",)),
    _differ("cheroot takes two that differ.", ("body lengths differ",), under=("cheroot",)),
    _differ(
        "gunicorn and httptools refuse a length beside chunks, h11 takes it.",
        ("chunked and length", "chunked and wrong length"),
        under=("gunicorn",),
        on=("h11",),
    ),
    _differ(
        "The same; waitress and cheroot take it.",
        ("chunked and length", "chunked and wrong length"),
        under=("waitress", "cheroot"),
        on=("httptools",),
    ),
    _differ(
        "waitress counts the body.",
        ("chunked and length",),
        ("scope:transfer-encoding",),
        under=("waitress",),
        on=("h11",),
    ),
    _differ(
        "The same.",
        ("chunked and wrong length",),
        ("scope:content-length", "scope:transfer-encoding"),
        under=("waitress",),
        on=("h11",),
    ),
    _differ(
        "bridge leaves a length away that stands beside chunks, for it says nothing (RFC 9112, section 6.3).",
        ("chunked and length", "chunked and wrong length"),
        ("scope:content-length",),
        under=("cheroot",),
        on=("h11",),
    ),
    _differ(
        "Chunks in HTTP/1.0, which has none. waitress does not read them: bridge refuses them there.",
        ("chunked HTTP/1.0",),
    ),
    _differ(
        "waitress and cheroot take the coding twice, and answer 501 to one that they don't know; others 400.",
        ("chunked twice", "chunked identity", "chunked gzip"),
        under=("waitress", "cheroot"),
    ),
)

LINES: tuple[Difference, ...] = (
    _differ("h11 takes methods in lower case.", ("method Get", "method get"), on=("h11",)),
    _differ(
        "httptools knows a list of methods.",
        ("method BREW", "method BREW with a body", "method X_Y", "method GET!"),
        on=("httptools",),
    ),
    _differ(
        "gunicorn takes methods of up to 20 letters.",
        (f"method {'A' * 30}",),
        under=("gunicorn",),
        on=("h11",),
    ),
    _differ(
        "httptools does not know it.",
        (f"method {'A' * 30}",),
        under=("waitress", "cheroot"),
        on=("httptools",),
    ),
    _differ("httptools takes two spaces.", ("two spaces",), on=("httptools",)),
    _differ(
        "httptools and cheroot refuse HTTP/1.2, cheroot with 505.",
        ("version 1.2",),
        under=("gunicorn", "waitress"),
        on=("httptools",),
    ),
    _differ("The same.", ("version 1.2",), under=("cheroot",)),
    _differ(
        "gunicorn and httptools refuse HTTP/3.0 in HTTP/1's form, cheroot with 505.",
        ("version 3.0",),
        under=("gunicorn", "cheroot"),
        on=("h11",),
    ),
    _differ("The same.", ("version 3.0",), under=("waitress", "cheroot"), on=("httptools",)),
    _differ(
        "waitress makes HTTP/1.0 of each version but 1.1.",
        ("version 1.2", "version 3.0"),
        ("scope:http_version",),
        under=("waitress",),
        on=("h11",),
    ),
    _differ(
        "The same of a request line without a version, which httptools takes for HTTP/0.9, and the others refuse.",
        ("version none",),
        ("scope:http_version",),
        under=("waitress",),
        on=("httptools",),
    ),
    _differ("The same.", ("version none",), under=("waitress",), on=("h11",)),
    _differ("The same.", ("version none",), under=("gunicorn", "cheroot"), on=("httptools",)),
)

DIFFERENCES = ENVIRON + TARGETS + FIELDS + BODIES + LINES
