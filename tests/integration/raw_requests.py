"""The table of raw requests of ``test_raw_requests``: name -> bytes. The app is ``apps/echo``."""

from tests.integration.apps.echo_responses import RESPONSES

__all__ = ["REQUESTS"]


def _request(
    method: str = "GET",
    target: str = "/",
    *headers: str,
    body: bytes = b"",
    version: str = "HTTP/1.1",
    host: str | None = "Host: test",
) -> bytes:
    lines = [f"{method} {target} {version}", *([host] if host is not None else []), *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _sized(body: bytes, *headers: str, method: str = "POST", target: str = "/") -> bytes:
    return _request(method, target, *headers, f"Content-Length: {len(body)}", body=body)


def _chunked(
    *chunks: bytes, headers: tuple[str, ...] = (), end: bytes = b"0\r\n\r\n", target: str = "/"
) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end
    return _request("POST", target, "Transfer-Encoding: chunked", *headers, body=body)


METHODS = {
    f"method {method}": _request(method, "/m")
    for method in (
        *("GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "PURGE", "M-SEARCH"),
        *("get", "Get", "BREW", "X_Y", "GET!", "A" * 30),
    )
} | {
    f"method {method} with a body": _sized(b"data", method=method)
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "BREW")
}

TARGETS = (
    "/",
    "/a",
    "/a/",
    "/a/b/c",
    "/a%20b",
    "/a+b",
    "/a%2Fb",
    "/a%2fb",
    "/%41%42",
    "/caf%C3%A9",
    "/caf%c3%a9",
    "/caf%E9",
    "/%FF",
    "/%FF%FE/x",
    "/%C3",
    "/%E2%82%AC",
    "/%F0%9F%98%80",
    "/%ED%A0%80",
    "/%EF%BF%BD",
    "/%25",
    "/%2525",
    "/%252F",
    "/%",
    "/%z",
    "/%zz",
    "/%4",
    "/%00",
    "/a%00b",
    "/%0A",
    "/%0D%0A",
    "/%7F",
    "/%3F",
    "/%3F?x",
    "/%23",
    "/a;b=c",
    "/a;b=c;d/e;f",
    "/a:b",
    "/a@b",
    "/a=b&c",
    "/a,b",
    "/a$b",
    "/a!b*c'd(e)",
    "/~user",
    "/a.b",
    "/-_.~",
    "//",
    "//a",
    "//a//b//",
    "/a//b",
    "///",
    "/.",
    "/..",
    "/./a",
    "/../a",
    "/a/./b",
    "/a/../b",
    "/a/..",
    "/a/.",
    "/%2e%2e/a",
    "/a/%2E%2E/b",
    "/a\\b",
    "/a%5Cb",
    "/a|b",
    "/a^b",
    "/a{b}",
    "/a[b]",
    "/a`b",
    '/a"b',
    "/<a>",
    "/%3Ca%3E",
    "/?",
    "/a?",
    "/" + "a" * 1000,
    "http://test/absolute?x=1",
    "http://other/absolute",
    "http://test",
    "/a b",
    "/a#b",
    "a",
    "/caf\xc3\xa9",
    "/caf\xe9",
    "/\xff",
)
PATHS = {f"path {target[:40]}": _request("GET", target) for target in TARGETS} | {
    "path *": _request("OPTIONS", "*"),
}

QUERIES = {
    f"query {query[:40]}": _request("GET", f"/q?{query}")
    for query in (
        "a=b",
        "a=b&c=d",
        "a=1&a=2",
        "a",
        "=",
        "&",
        "&&a=b&&",
        "a=b=c",
        "a=b?c",
        "?",
        "a=/b/c",
        "a=../b",
        "a=%20",
        "a=+",
        "a=%2B",
        "a=%26b",
        "a=%C3%A9",
        "a=%E9",
        "a=%FF",
        "a=%00",
        "a=%",
        "a=%zz",
        "a;b",
        "a=b;c=d",
        "a[]=1",
        "a=[1]",
        "a={b}",
        "a=|",
        "a=^",
        'a="b"',
        "a=<b>",
        "a='b'",
        "a=b#c",
        "a=\\",
        "a=caf\xc3\xa9",
        "a=caf\xe9",
        "a=" + "x" * 3000,
    )
}

HEADERS = {
    f"header {name}": _request("GET", "/h", *lines)
    for name, lines in {
        "none": (),
        "simple": ("X-Test: value",),
        "lower": ("x-test: value",),
        "upper": ("X-TEST: value",),
        "no space": ("X-Test:value",),
        "spaces": ("X-Test:    value   ",),
        "tabs": ("X-Test:\tvalue\t",),
        "inner spaces": ("X-Test: a  b",),
        "empty": ("X-Test:",),
        "empty and space": ("X-Test: ",),
        "colon": ("X-Test: a:b",),
        "latin-1": ("X-Test: caf\xe9",),
        "utf-8": ("X-Test: caf\xc3\xa9",),
        "high": ("X-Test: \xff\x80",),
        "duplicate": ("X-Test: 1", "X-Test: 2"),
        "duplicate in another case": ("X-Test: 1", "x-test: 2"),
        "three": ("X-Test: 1", "X-Test: 2", "X-Test: 3"),
        "duplicate, apart": ("X-Test: 1", "X-Other: x", "X-Test: 2"),
        "duplicate, empty": ("X-Test:", "X-Test: 2"),
        "list": ("X-Test: 1, 2",),
        "underscore": ("X_Test: evil",),
        "underscore and hyphen": ("X-Test: good", "X_Test: evil"),
        "hyphen and underscore": ("X_Test: evil", "X-Test: good"),
        "proxy": ("Proxy: http://evil",),
        "cookie": ("Cookie: a=1",),
        "cookies": ("Cookie: a=1; b=2",),
        "two cookies": ("Cookie: a=1", "Cookie: b=2"),
        "cookie, strange": ('Cookie: a="1, 2"; b=\xe9',),
        "accept": ("Accept: text/html, */*;q=0.8",),
        "accept twice": ("Accept: text/html", "Accept: */*"),
        "authorization": ("Authorization: Basic YTpi",),
        "referer": ("Referer: http://test/a?b",),
        "user agent": ("User-Agent: Test/1.0 (x; y)",),
        "range": ("Range: bytes=0-10",),
        "if-none-match": ('If-None-Match: "a", W/"b"',),
        "forwarded": ("X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https"),
        "forwarded host": ("X-Forwarded-Host: evil", "Forwarded: for=10.0.0.1;proto=https"),
        "content type": ("Content-Type: text/plain",),
        "content type with charset": ("Content-Type: text/plain; charset=utf-8",),
        "content type, mixed case": ("cOnTenT-tYpe: Text/Plain",),
        "content type twice": ("Content-Type: text/plain", "Content-Type: text/html"),
        "content type, underscore": ("Content_Type: evil",),
        "content length, underscore": ("Content_Length: 3",),
        "content encoding": ("Content-Encoding: gzip",),
        "digits": ("X-123: 4",),
        "symbols": ("X!#$%&'*+.^`|~: 1",),
        "te": ("TE: trailers",),
        "upgrade": ("Connection: Upgrade", "Upgrade: example/1"),
        "keep-alive": ("Connection: keep-alive", "Keep-Alive: 300"),
        "connection list": ("Connection: keep-alive, x-hop", "X-Hop: 1"),
        "long": ("X-Test: " + "v" * 4000,),
        "many": tuple(f"X-{number}: {number}" for number in range(60)),
        "space before colon": ("X-Test : value",),
        "space in name": ("X Test: value",),
        "folded": ("X-Test: a", " b"),
        "nul": ("X-Test: a\0b",),
        "bare cr": ("X-Test: a\rb",),
        "no colon": ("X-Test",),
        "no name": (": value",),
        "non-ascii name": ("X-T\xe9st: value",),
        "expect, unknown": ("Expect: something",),
    }.items()
} | {
    "host with port": _request(host="Host: test:8080"),
    "host upper": _request(host="HOST: TEST"),
    "host ipv6": _request(host="Host: [::1]:80"),
    "host empty": _request(host="Host:"),
    "host missing": _request(host=None),
    "host twice": _request("GET", "/", "Host: other"),
    "host bad": _request(host="Host: a b"),
}

BODIES = {
    "body form": _sized(b"a=1&b=2", "Content-Type: application/x-www-form-urlencoded"),
    "body json": _sized(b'{"a": 1}', "Content-Type: application/json"),
    "body empty": _sized(b""),
    "body binary": _sized(bytes(range(256))),
    "body line ends": _sized(b"a\r\nb\nc\r"),
    "body like a chunk": _sized(b"0\r\n\r\n"),
    "body like a request": _sized(_request("GET", "/inner")),
    "body large": _sized(b"z" * 200_000),
    "body without length": _request("POST"),
    "body unread": _sized(b"unread", target="/unread"),
    "body unread, large": _sized(b"u" * 100_000, target="/unread"),
    "body length with zeros": _request("POST", "/", "Content-Length: 0003", body=b"abc"),
    "body length with spaces": _request("POST", "/", "Content-Length:   3  ", body=b"abc"),
    "body length twice": _request("POST", "/", "Content-Length: 3", "Content-Length: 3", body=b"abc"),
    "body length list": _request("POST", "/", "Content-Length: 3, 3", body=b"abc"),
    "body lengths differ": _request("POST", "/", "Content-Length: 3", "Content-Length: 4", body=b"abcd"),
    "body length negative": _request("POST", "/", "Content-Length: -1"),
    "body length plus": _request("POST", "/", "Content-Length: +3", body=b"abc"),
    "body length hex": _request("POST", "/", "Content-Length: 0x3", body=b"abc"),
    "body length word": _request("POST", "/", "Content-Length: abc"),
    "body length empty": _request("POST", "/", "Content-Length:"),
    "body length float": _request("POST", "/", "Content-Length: 3.0", body=b"abc"),
    "body length underscore": _request("POST", "/", "Content-Length: 1_0", body=b"0123456789"),
    "body expect": _sized(b"abc", "Expect: 100-continue"),
    "body expect, upper": _sized(b"abc", "EXPECT: 100-Continue"),
    "chunked": _chunked(b"abc"),
    "chunked three": _chunked(b"a", b"bc", b"def"),
    "chunked empty": _chunked(),
    "chunked binary": _chunked(bytes(range(256))),
    "chunked large": _chunked(*[b"q" * 10_000] * 12),
    "chunked upper": _request("POST", "/", "Transfer-Encoding: CHUNKED", body=b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked size upper": _request(
        "POST", "/", "Transfer-Encoding: chunked", body=b"A\r\n0123456789\r\n0\r\n\r\n"
    ),
    "chunked size zeros": _request(
        "POST", "/", "Transfer-Encoding: chunked", body=b"0003\r\nabc\r\n0\r\n\r\n"
    ),
    "chunked extension": _request(
        "POST", "/", "Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\n\r\n"
    ),
    "chunked trailer": _chunked(b"abc", end=b"0\r\nX-Trailer: 1\r\n\r\n"),
    "chunked expect": _chunked(b"abc", headers=("Expect: 100-continue",)),
    "chunked unread": _chunked(b"abc", target="/unread"),
    "chunked and length": _chunked(b"abc", headers=("Content-Length: 3",)),
    "chunked and wrong length": _chunked(b"abc", headers=("Content-Length: 1",)),
    "chunked twice": _chunked(b"abc", headers=("Transfer-Encoding: chunked",)),
    "chunked identity": _request("POST", "/", "Transfer-Encoding: identity"),
    "chunked gzip": _request("POST", "/", "Transfer-Encoding: gzip", body=b""),
    "chunked bad size": _request("POST", "/", "Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "chunked HTTP/1.0": _request(
        "POST", "/", "Transfer-Encoding: chunked", version="HTTP/1.0", body=b"3\r\nabc\r\n0\r\n\r\n"
    ),
}

VERSIONS = {
    "version 1.0": _request(version="HTTP/1.0"),
    "version 1.0 without host": _request(version="HTTP/1.0", host=None),
    "version 1.0 keep-alive": _request("GET", "/", "Connection: keep-alive", version="HTTP/1.0"),
    "version 1.0 close": _request("GET", "/", "Connection: close", version="HTTP/1.0"),
    "version 1.0 post": _request("POST", "/", "Content-Length: 3", version="HTTP/1.0", body=b"abc"),
    "version 1.0 generator": _request("GET", "/r/generator", version="HTTP/1.0"),
    "version 1.0 large": _request("GET", "/r/large-chunks", version="HTTP/1.0"),
    "version 1.1 close": _request("GET", "/", "Connection: close"),
    "version 1.1 close, upper": _request("GET", "/", "Connection: CLOSE"),
    "version 1.1 close generator": _request("GET", "/r/generator", "Connection: close"),
    "version 1.2": _request(version="HTTP/1.2"),
    "version 3.0": _request(version="HTTP/3.0"),
    "version lower": _request(version="http/1.1"),
    "version none": b"GET /\r\n\r\n",
    "version word": _request(version="HTTP/x"),
    "leading line end": b"\r\n" + _request(),
    "two spaces": b"GET  /  HTTP/1.1\r\nHost: test\r\n\r\n",
    "garbage": b"garbage\r\n\r\n",
}

ANSWERS = (
    {f"answer {name}": _request("GET", f"/r/{name}") for name in RESPONSES}
    | {
        f"answer {name} to HEAD": _request("HEAD", f"/r/{name}")
        for name in RESPONSES
        if name != "large-chunks"
    }
    | {
        "answer write": _request("GET", "/write"),
        "answer write to HEAD": _request("HEAD", "/write"),
        "answer late": _request("GET", "/late"),
        "answer late to HEAD": _request("HEAD", "/late"),
    }
)

REQUESTS: dict[str, bytes] = METHODS | PATHS | QUERIES | HEADERS | BODIES | VERSIONS | ANSWERS
