"""environ -> scope, and the start of a response as start_response() takes it."""

import http
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApplicationError
from bridge.mapping.environ import build_environ
from bridge.mapping.scope import build_scope, response_head
from tests.support.wsgi import environ_for


def scope_of(**keys: Any) -> Any:
    return build_scope(environ_for(**keys), {})


class TestKeys:
    def test_a_plain_request_has_every_key_of_the_specification(self) -> None:
        environ = environ_for("/a/b", query="x=1&y=%20", HTTP_X_ONE="1")
        state = {"pool": object()}
        scope = build_scope(environ, state)
        assert scope == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/a/b",
            "raw_path": b"/a/b",
            "query_string": b"x=1&y=%20",
            "root_path": "",
            "headers": [(b"host", b"testserver"), (b"x-one", b"1")],
            "client": ("127.0.0.1", 50000),
            "server": ("testserver", 80),
            "state": state,
            "extensions": {},
            "wsgi_environ": environ,
        }
        assert scope["wsgi_environ"] == environ
        assert scope["state"] is not state

    def test_what_an_app_writes_into_a_scope_stays_in_it(self) -> None:
        first, second = scope_of(), scope_of()
        first["asgi"]["version"] = "2.0"
        first["extensions"]["mine"] = {}
        assert second["asgi"]["version"] == "3.0"
        assert scope_of()["extensions"] == {}

    @pytest.mark.parametrize(
        ("protocol", "version"),
        [
            ("HTTP/1.0", "1.0"),
            ("HTTP/2", "2"),
            ("HTTP/2.0", "2"),
            ("HTTP/3", "3"),
            ("http/1.1", "1.1"),
            ("INCLUDED", "1.1"),
            ("", "1.1"),
            ("HTTP/", "1.1"),
            (None, "1.1"),
        ],
    )
    def test_http_version(self, protocol: str | None, version: str) -> None:
        assert scope_of(SERVER_PROTOCOL=protocol)["http_version"] == version

    @pytest.mark.parametrize(
        ("name", "port", "server"),
        [
            ("host", "8000", ("host", 8000)),
            ("host", "", ("host", None)),
            ("host", None, ("host", None)),
            ("host", "none", ("host", None)),
            ("host", "٣", ("host", None)),
            ("localhost", "/run/app.sock", ("/run/app.sock", None)),
            ("", "80", None),
            (None, None, None),
        ],
    )
    def test_server(self, name: str | None, port: str | None, server: object) -> None:
        assert scope_of(SERVER_NAME=name, SERVER_PORT=port)["server"] == server

    @pytest.mark.parametrize(
        ("address", "port", "client"),
        [
            ("::1", "5", ("::1", 5)),
            ("10.0.0.1", None, ("10.0.0.1", 0)),
            ("10.0.0.1", "None", ("10.0.0.1", 0)),
            ("", "5", None),
            (None, None, None),
        ],
    )
    def test_client(self, address: str | None, port: str | None, client: object) -> None:
        assert scope_of(REMOTE_ADDR=address, REMOTE_PORT=port)["client"] == client

    def test_the_method_is_in_upper_case(self) -> None:
        assert scope_of(method="post")["method"] == "POST"

    def test_remote_user_is_reachable(self) -> None:
        assert scope_of(REMOTE_USER="ann")["wsgi_environ"]["REMOTE_USER"] == "ann"


class TestPath:
    def test_the_path_includes_the_root_path(self) -> None:
        scope = scope_of(path="/item", SCRIPT_NAME="/shop")
        assert (scope["root_path"], scope["path"], scope["raw_path"]) == (
            "/shop",
            "/shop/item",
            b"/shop/item",
        )

    def test_a_mount_without_a_slash_after_it(self) -> None:
        scope = scope_of(path="", SCRIPT_NAME="/shop")
        assert (scope["root_path"], scope["path"]) == ("/shop", "/shop")

    def test_a_script_name_that_ends_with_a_slash(self) -> None:
        scope = scope_of(path="/item", SCRIPT_NAME="/shop/")
        assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/item")

    def test_an_empty_path_is_the_root(self) -> None:
        scope = scope_of(path="")
        assert (scope["path"], scope["raw_path"]) == ("/", b"/")

    def test_utf8_in_both_parts(self) -> None:
        scope = scope_of(path="/grün", SCRIPT_NAME="/é".encode().decode("latin-1"))
        assert (scope["root_path"], scope["path"]) == ("/é", "/é/grün")
        assert scope["raw_path"] == b"/%C3%A9/gr%C3%BCn"

    def test_bytes_that_are_no_utf8(self) -> None:
        scope = scope_of(PATH_INFO="/a\xff")
        assert (scope["path"], scope["raw_path"]) == ("/a\ufffd", b"/a%FF")

    @pytest.mark.parametrize("key", ["REQUEST_URI", "RAW_URI"])
    @pytest.mark.parametrize(
        ("target", "raw_path"),
        [
            ("/a%2Fb?q=/c", b"/a%2Fb"),
            ("/%FF", b"/%FF"),
            ("//a", b"//a"),
            ("http://host/a/b?c", b"/a/b"),
            ("http://host", b"/"),
            ("http://host?q", b"/"),
            ("*", b"*"),
            ("/http://x", b"/http://x"),
            ("", b"/path"),
        ],
    )
    def test_the_raw_path_is_the_servers_if_it_tells(self, key: str, target: str, raw_path: bytes) -> None:
        assert build_scope(environ_for("/path") | {key: target}, {})["raw_path"] == raw_path

    def test_a_query_may_have_any_byte(self) -> None:
        assert scope_of(query="a=\xff\x00")["query_string"] == b"a=\xff\x00"


class TestHeaders:
    def test_content_type_and_length_come_from_their_own_keys(self) -> None:
        headers = scope_of(
            CONTENT_TYPE="text/plain",
            CONTENT_LENGTH="3",
            HTTP_CONTENT_LENGTH="999",
            HTTP_CONTENT_TYPE="application/evil",
        )["headers"]
        assert headers[1:] == [(b"content-type", b"text/plain"), (b"content-length", b"3")]

    def test_empty_ones_are_none_at_all(self) -> None:
        assert scope_of(CONTENT_TYPE="", CONTENT_LENGTH="")["headers"] == [(b"host", b"testserver")]

    def test_an_empty_header_is_one(self) -> None:
        assert (b"x-empty", b"") in scope_of(HTTP_X_EMPTY="")["headers"]

    def test_the_processs_proxy_is_no_header(self) -> None:
        assert scope_of(HTTP_PROXY="http://proxy")["headers"] == [(b"host", b"testserver")]

    def test_values_are_bytes_again(self) -> None:
        headers = scope_of(HTTP_X_LATIN="\xe9", HTTP_X_DECODED="€")["headers"]
        assert (b"x-latin", b"\xe9") in headers
        assert (b"x-decoded", "€".encode()) in headers

    def test_names_that_clients_make_up_do_not_fill_the_cache(self) -> None:
        from bridge.mapping import scope as module

        for number in range(3000):
            scope_of(**{f"HTTP_X_MADE_UP_{number}": "1"})
        assert len(module._field_names) <= module._CACHE_SIZE
        assert (b"x-made-up-2999", b"1") in scope_of(HTTP_X_MADE_UP_2999="1")["headers"]


class TestExtensions:
    def test_what_the_server_has(self) -> None:
        environ = environ_for() | {"wsgi.file_wrapper": object, "wsgi.early_hints": print}
        assert build_scope(environ, {})["extensions"] == {"http.response.early_hint": {}}
        extensions = build_scope(environ, {}, sendfile=True)["extensions"]
        assert extensions == {"http.response.pathsend": {}, "http.response.early_hint": {}}
        assert build_scope(environ_for(), {}, sendfile=True)["extensions"] == {}

    def test_tls(self) -> None:
        environ = environ_for(
            SSL_PROTOCOL="TLSv1.3", SSL_CIPHER="TLS_AES_256_GCM_SHA384", SSL_CLIENT_VERIFY="NONE"
        )
        environ["wsgi.url_scheme"] = "https"
        scope = build_scope(environ, {})
        assert scope["scheme"] == "https"
        assert scope["extensions"]["tls"]["tls_version"] == 0x0304
        assert scope["extensions"]["tls"]["cipher_suite"] == 0x1302

    def test_no_tls_over_http(self) -> None:
        assert "tls" not in scope_of(SSL_PROTOCOL="TLSv1.3")["extensions"]


native = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=20)
path_text = st.text(st.characters(codec="utf-8", min_codepoint=0x20), max_size=12).map(
    lambda text: text.replace("/", "").encode().decode("latin-1")
)
any_path = st.lists(path_text, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
mounts = st.lists(path_text.filter(bool), max_size=3).map(lambda parts: "".join(f"/{part}" for part in parts))
field_names = st.text(string.ascii_uppercase + string.digits, min_size=1, max_size=10).filter(
    lambda name: name != "PROXY"
)


@given(
    method=st.sampled_from(["GET", "POST", "PROPFIND"]),
    script_name=mounts,
    path_info=any_path,
    query=native.filter(lambda query: "#" not in query),
    protocol=st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2"]),
    scheme=st.sampled_from(["http", "https"]),
    headers=st.dictionaries(field_names.map("HTTP_X_{}".format), native, max_size=5),
    content_type=st.one_of(st.none(), native.filter(bool)),
)
def test_an_environ_comes_back_the_same(
    method: str,
    script_name: str,
    path_info: str,
    query: str,
    protocol: str,
    scheme: str,
    headers: dict[str, str],
    content_type: str | None,
) -> None:
    environ = environ_for(
        method=method, SCRIPT_NAME=script_name, PATH_INFO=path_info, SERVER_PROTOCOL=protocol
    )
    environ |= headers
    environ["QUERY_STRING"] = query
    environ["wsgi.url_scheme"] = scheme
    if content_type is not None:
        environ["CONTENT_TYPE"] = content_type
    back = build_environ(build_scope(environ, {}))
    assert {key: back.get(key) for key in environ if not key.startswith("wsgi.")} == {
        key: value for key, value in environ.items() if not key.startswith("wsgi.")
    }
    assert back["wsgi.url_scheme"] == scheme


class TestHead:
    def test_status_and_headers(self) -> None:
        head = response_head(200, [(b"content-type", b"text/plain"), (b"X-Mixed", b"\xe9")])
        assert head.status == "200 OK"
        assert head.headers == [("content-type", "text/plain"), ("X-Mixed", "\xe9")]
        assert head.content_length is None
        assert not head.bodyless

    @pytest.mark.parametrize(
        ("status", "line"),
        [(http.HTTPStatus.NOT_FOUND, "404 Not Found"), (299, "299 Unknown"), (999, "999 Unknown")],
    )
    def test_unusual_statuses(self, status: int, line: str) -> None:
        assert response_head(status, []).status == line

    @pytest.mark.parametrize("status", [None, "200", True, 99, 101, 1000, 200.0])
    def test_what_is_no_status(self, status: object) -> None:
        with pytest.raises(ApplicationError, match=r"status .*ASGI wants an integer"):
            response_head(status, [])

    @pytest.mark.parametrize(
        "name",
        [
            b"Connection",
            b"keep-alive",
            b"transfer-encoding",
            b"TE",
            b"upgrade",
            b"Trailers",
            b"proxy-authenticate",
        ],
    )
    def test_hop_by_hop_headers_are_kept_from_the_server(self, name: bytes) -> None:
        assert response_head(200, [(name, b"x"), (b"a", b"b")]).headers == [("a", "b")]

    @pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\x00", b"\x7f"])
    def test_a_value_with_a_control_character_is_refused(self, value: bytes) -> None:
        with pytest.raises(ApplicationError, match="control character"):
            response_head(200, [(b"x", value)])

    @pytest.mark.parametrize("value", [b"a\tb", b"\xa0", b"\x85", b""])
    def test_other_values_are_not(self, value: bytes) -> None:
        assert response_head(200, [(b"x", value)]).headers == [("x", value.decode("latin-1"))]

    @pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xe9"])
    def test_what_is_no_name(self, name: bytes) -> None:
        with pytest.raises(ApplicationError, match="not a field name"):
            response_head(200, [(name, b"x")])

    @pytest.mark.parametrize(
        "pair", [("a", "b"), (b"a", "b"), (b"a",), b"ab", None, (b"a", b"b", b"c"), [1, 2]]
    )
    def test_what_is_no_header(self, pair: object) -> None:
        with pytest.raises(ApplicationError, match="pair of byte strings"):
            response_head(200, [pair])

    @pytest.mark.parametrize("headers", [None, b"ab", {"a": "b"}, 5])
    def test_what_are_no_headers(self, headers: object) -> None:
        with pytest.raises(ApplicationError, match=r"ASGI wants \(name, value\) pairs"):
            response_head(200, headers)

    def test_any_iterable_of_lists_will_do(self) -> None:
        assert response_head(200, iter([[b"a", b"b"]])).headers == [("a", "b")]

    def test_content_length(self) -> None:
        head = response_head(200, [(b"Content-Length", b"5"), (b"content-length", b"5")])
        assert head.content_length == 5
        assert head.headers == [("Content-Length", "5")]

    @pytest.mark.parametrize("status", [204, 304])
    def test_no_content_length_without_content(self, status: int) -> None:
        head = response_head(status, [(b"content-length", b"5")])
        assert head.headers == []
        assert head.bodyless

    @pytest.mark.parametrize("value", [b"", b"-1", b"five", b"5, 5"])
    def test_what_is_no_content_length(self, value: bytes) -> None:
        with pytest.raises(ApplicationError, match="Content-Length"):
            response_head(200, [(b"content-length", value)])

    def test_two_that_differ(self) -> None:
        with pytest.raises(ApplicationError, match="two Content-Length headers, 5 and 6"):
            response_head(200, [(b"content-length", b"5"), (b"content-length", b"6")])
