"""Scopes, environs, statuses and headers as anybody might make them: by the specifications, and beyond."""

from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.support.asgi import http_scope
from tests.support.wsgi import environ_for

__all__ = [
    "any_environs",
    "any_headers",
    "any_scopes",
    "any_values",
    "environs",
    "field_values",
    "mostly",
    "names",
    "numbers",
    "odd_scopes",
    "response_fields",
    "response_pairs",
    "scopes",
    "statuses",
]

#: Text without lone surrogates, as what was decoded as UTF-8 is.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
#: Native strings of PEP 3333: each character is a byte.
natives = st.text(st.characters(max_codepoint=0xFF), max_size=12)

_TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_KNOWN = (
    *(
        "content-length",
        "content-type",
        "Content-Type",
        "host",
        "cookie",
        "accept",
        "transfer-encoding",
        "proxy",
    ),
    *("connection", "upgrade", "te", "set-cookie", "x_user", "X-User", "x-forwarded-for", "expect"),
)
#: Names of fields, by RFC 9110 (5.1).
names = st.sampled_from(_KNOWN) | st.text(_TOKEN, min_size=1, max_size=8)
#: Their values, by RFC 9110 (5.5): visible characters, any byte above, blanks within.
field_values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=8
).map(str.strip)

any_values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.just({}),
    st.just(()),
    st.just("9" * 5000),
    st.just(b"9" * 5000),
    st.just("\ud800"),
)


def mostly(good: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """``odd`` once in four times; ``|`` would take it as often as it has alternatives."""
    return st.integers(0, 3).flatmap(lambda number: odd if number == 3 else good)


def _with(base: dict[str, Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """``base``, some of whose keys have any value, or are not there."""
    changes = st.dictionaries(keys, any_values | st.just(...), max_size=3)
    return changes.map(lambda more: {k: v for k, v in {**base, **more}.items() if v is not ...})


_paths = st.lists(texts | st.sampled_from(["..", ".", "", "%2f", "a b", "\\", "\0"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
_roots = st.sampled_from(["", "", "/api", "/api/", "api", "/", "//", "/é", "/a/b"])
_raw_names = names.map(lambda name: name.lower().encode())
_raw_values = field_values.map(lambda value: value.encode("latin-1"))


#: HTTP/2 and HTTP/3 have them in fields of their own (RFC 9113, 8.2.3).
_cookies = st.sampled_from([[], [], [(b"cookie", b"a=1"), (b"cookie", b"b=2")]])


@st.composite
def scopes(draw: st.DrawFn) -> dict[str, Any]:
    """A scope that an ASGI server could give, by the specification (HTTP Connection Scope)."""
    path: str = draw(_paths)
    client = st.none() | st.tuples(st.sampled_from(["127.0.0.1", "::1"]), st.integers(0, 65535))
    scope = http_scope(
        draw(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "X-ODD"])),
        path,
        query=draw(st.binary(max_size=8)),
        raw_path=draw(st.sampled_from([quote(path).encode(), None, ...])),
        root_path=draw(_roots),
        http_version=draw(st.sampled_from(["1.0", "1.1", "2", "3"])),
        scheme=draw(st.sampled_from(["http", "https"])),
        headers=draw(st.lists(st.tuples(_raw_names, _raw_values), max_size=6)) + draw(_cookies),
        client=draw(client),
        server=draw(st.sampled_from([("127.0.0.1", 80), ("::1", 8000), ("/run/s", None), None])),
    )
    return dict(scope)


#: Field names and values of every byte.
any_headers = st.lists(st.tuples(st.binary(max_size=6) | _raw_names, st.binary(max_size=6)), max_size=6)


#: Paths that are none, or of no text; the path of a target in another form (RFC 9112, 3.2).
_odd_paths = (
    st.sampled_from(["*", "", "http://a/b", "a:1", "x", "//a", "\udc80", "/\udcff", "/\ud800"]) | st.text()
)


def odd_scopes() -> st.SearchStrategy[dict[str, Any]]:
    """A scope of the right types, with what no server should put into it."""
    odd = st.fixed_dictionaries(
        {},
        optional={
            "path": _odd_paths,
            "raw_path": st.binary(max_size=8),
            "headers": any_headers,
            "root_path": st.text(max_size=5),
            "http_version": st.text(max_size=3),
            "scheme": st.text(max_size=5),
            "client": st.tuples(st.text(max_size=3), st.integers() | st.none()),
            "server": st.tuples(st.text(max_size=3), st.integers() | st.none()),
        },
    )
    return st.builds(lambda scope, more: {**scope, **more}, scopes(), odd)


def any_scopes() -> st.SearchStrategy[dict[str, Any]]:
    """A scope with values of any type."""
    keys = st.sampled_from(
        [
            *(
                "asgi",
                "http_version",
                "method",
                "scheme",
                "path",
                "raw_path",
                "query_string",
                "root_path",
                "headers",
            ),
            *("client", "server", "state", "extensions", "odd", "wsgi_environ"),
        ]
    )
    return odd_scopes().flatmap(lambda scope: _with(scope, keys))


@st.composite
def environs(draw: st.DrawFn) -> dict[str, Any]:
    """An environ that a WSGI server could give, by PEP 3333."""
    keys = names.filter(lambda name: "_" not in name).map(lambda name: name.upper().replace("-", "_"))
    fields = st.dictionaries(
        keys.filter(
            lambda key: key not in {"CONTENT_LENGTH", "CONTENT_TYPE", "PROXY", "UPGRADE", "TRANSFER_ENCODING"}
        ),
        field_values,
        max_size=6,
    )
    path: str = draw(_paths)
    environ = environ_for(
        path,
        draw(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "X-ODD"])),
        draw(st.none() | st.binary(max_size=4)),
        draw(natives.filter(lambda query: "#" not in query)),
        SCRIPT_NAME=draw(st.sampled_from(["", "", "/api", "/a/b", "/\xc3\xa9"])),
        SERVER_PROTOCOL=draw(st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2"])),
        CONTENT_TYPE=draw(st.none() | st.just("text/plain")),
        REMOTE_ADDR=draw(st.sampled_from(["127.0.0.1", "::1", ""])),
    )
    environ["wsgi.url_scheme"] = draw(st.sampled_from(["http", "https"]))
    return environ | {f"HTTP_{key}": value for key, value in draw(fields).items()}


def any_environs() -> st.SearchStrategy[dict[str, Any]]:
    """An environ that no server should give."""
    keys = st.sampled_from(
        [
            *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH"),
            *(
                "SERVER_NAME",
                "SERVER_PORT",
                "SERVER_PROTOCOL",
                "REMOTE_ADDR",
                "REMOTE_PORT",
                "REQUEST_URI",
                "RAW_URI",
            ),
            *("HTTP_UPGRADE", "HTTP_TRANSFER_ENCODING", "HTTP_X", "HTTP_", "SSL_PROTOCOL", "wsgi.url_scheme"),
            *("wsgi.input_terminated", "wsgi.file_wrapper", "asgi.scope"),
        ]
    )
    return environs().flatmap(lambda environ: _with(environ, keys))


#: A status of ``start_response()``.
statuses = mostly(
    st.sampled_from(["200 OK", "404", "304 Not Modified", "204 x"]),
    st.sampled_from(["404 ", "99 x", "100 Continue", "1000", "2OO OK", "200 a\nb"])
    | st.text(max_size=6)
    | any_values,
)
#: A status of ``http.response.start``.
numbers = mostly(st.sampled_from([200, 204, 304, 404, 599]), st.integers(-1, 1100) | any_values)

_lengths = st.sampled_from(["0", "2", "02", "-1", "x", "", " 2", "9" * 5000])
_field = mostly(st.tuples(names, field_values), st.tuples(st.just("Content-Length"), _lengths))
#: What an app may pass as the headers, to either interface.
response_fields = mostly(
    st.lists(mostly(_field, st.tuples(st.text(max_size=6), st.text(max_size=6)) | any_values), max_size=4),
    any_values,
)
response_pairs = mostly(
    st.lists(
        mostly(
            _field.map(lambda pair: (pair[0].encode(), pair[1].encode("latin-1"))),
            st.tuples(st.binary(max_size=6), st.binary(max_size=6)) | any_values,
        ),
        max_size=4,
    ),
    any_values,
)
