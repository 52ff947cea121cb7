"""An environ as a scope."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mapping.environ import build_environ
from bridge.mapping.scope import build_scope
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
            ("host", "9" * 5000, ("host", None)),
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

    def test_the_same_keys_in_another_order(self) -> None:
        environ = environ_for(HTTP_A="a", HTTP_B="b", CONTENT_TYPE="text/plain")
        for keys in (environ, dict(reversed(environ.items()))):
            for _ in range(2):  # learnt, and looked up
                headers = build_scope(keys, {})["headers"]
                names = [key for key in keys if key in {"HTTP_HOST", "HTTP_A", "HTTP_B"}]
                assert [name for name, _ in headers] == [
                    *(name[5:].lower().encode() for name in names),
                    b"content-type",
                ]

    def test_other_values_under_the_same_keys(self) -> None:
        """What is learnt of a set of keys holds for any values of them."""
        for value, expected in (("one", b"one"), ("\xe9", b"\xe9"), ("", b""), ("\u20ac", "\u20ac".encode())):
            for content_type in ("", "text/plain"):
                headers = dict(scope_of(HTTP_X_CHANGING=value, CONTENT_TYPE=content_type)["headers"])
                assert headers[b"x-changing"] == expected
                assert headers.get(b"content-type") == (content_type.encode() or None)

    def test_a_value_that_is_no_string_is_an_error_each_time(self) -> None:
        for value in ("1", None, 1, b"1"):
            environ = environ_for() | {"HTTP_X_TYPED": value}
            if value == "1":
                assert (b"x-typed", b"1") in build_scope(environ, {})["headers"]
                continue
            with pytest.raises((AttributeError, TypeError)):
                build_scope(environ, {})

    def test_names_that_clients_make_up_do_not_fill_the_memory(self) -> None:
        from bridge.mapping import scope as module

        for number in range(3000):
            scope_of(**{f"HTTP_X_MADE_UP_{number}": "1"})
        scope_of(**{"HTTP_X_" + "A" * 5000: "1"})
        scope_of(**{f"HTTP_X_MANY_{number}": "1" for number in range(1000)})
        for learnt in (module._field_names, module._fields_among):
            assert 0 < len(learnt) <= learnt.entries
        assert max(map(len, module._field_names)) <= module._field_names.longest
        assert max(sum(map(len, keys)) for keys in module._fields_among) <= module._fields_among.longest
        assert (b"x-made-up-2999", b"1") in scope_of(HTTP_X_MADE_UP_2999="1")["headers"]

    def test_a_server_s_keys_are_looked_up_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from bridge.mapping import scope as module

        environ = environ_for(HTTP_X_PLANNED="1")
        first = build_scope(environ, {})["headers"]
        monkeypatch.setattr(module._fields_among, "work_out", None)  # an error, were it called
        assert build_scope({**environ, "HTTP_X_PLANNED": "2"}, {})["headers"] == [
            *first[:-1],
            (b"x-planned", b"2"),
        ]


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
