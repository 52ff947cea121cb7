"""The requests that are sent: a built-in set, and the app's own routes. What servers understand each in its own way,
malformed requests that is, is left out: the check is about the app.
"""

from collections.abc import Iterable
from dataclasses import replace

from .model import Request, Route

__all__ = ["BUILT_IN", "PROXY", "of_routes"]

#: The note of a request as a proxy sends it, and what it adds.
PROXY = "from a proxy"
FORWARDED = (("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"))
NOWHERE = "/bridge-check/nowhere"
_SAFE = ("GET", "HEAD", "OPTIONS")
_MOST_ROUTES = 200


_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
_JSON = (("Content-Type", "application/json"),)
_OCTETS = (("Content-Type", "application/octet-stream"),)
_ORIGIN = ("Origin", "https://other.example")

#: What is special about a GET of / by its headers, and these.
_HEADERS = {
    "a range": (("Range", "bytes=0-9"),),
    "a range past the end": (("Range", "bytes=99999999-"),),
    "if modified": (("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),),
    "if none match": (("If-None-Match", "*"),),
    "for JSON": (("Accept", "application/json"),),
    "gzip": (("Accept-Encoding", "gzip"),),
    "a language": (("Accept-Language", "de, en;q=0.5"),),
    "another origin": (_ORIGIN,),
    "odd cookies": (("Cookie", 'a="1, 2"; b; c=%ff; d=x=y'),),
    "a big header": (("X-Big", "v" * 6000),),
    "60 headers": tuple((f"X-{number}", str(number)) for number in range(60)),
    PROXY: FORWARDED,
}

#: Odd paths and queries.
_TARGETS = (
    NOWHERE,
    f"{NOWHERE}/",
    *("/bridge%20check", "/bridge+check", "/caf%C3%A9", "/caf%E9", "/%25", "/%F0%9F%98%80", "/a%2Fb"),
    *("/a//b", "/a;b=c", "/a:b@c", "/a/../b", "/" + "a" * 1000),
    *("/?a=1&a=2", "/?", "/?a=%20+%2B", "/?q=caf%C3%A9", "/?q=%FF", "/?a;b=c", "/?a[]=1&b={c}", "/?&&=&"),
    *("/?a=" + "x" * 3000, "/?next=//other.example/"),
)

#: Bodies for a path that no app has, which changes nothing of what it keeps.
_UPLOADS = (
    Request(method="POST", headers=_FORM, body=b"a=1&b=2", note="a form"),
    Request(method="PUT", headers=_JSON, body=b'{"a": 1}', note="JSON"),
    Request(method="PATCH", headers=_JSON, body=b"{", note="broken JSON"),
    Request(method="POST", headers=_FORM, note="an empty body"),
    Request(method="POST", headers=_OCTETS, body=b"\x00\xff" * 150_000, note="a large upload"),
    Request(method="POST", headers=_OCTETS, body=b"chunk" * 20_000, chunks=12, note="a chunked upload"),
    Request(method="POST", headers=(*_FORM, ("Expect", "100-continue")), body=b"a=1", note="expecting 100"),
    Request(method="POST", body=b"x" * 100_000, break_off=True, note="an upload that breaks off"),
)

#: The same for each app: what an unknown app may be asked without a change to what it keeps.
BUILT_IN = (
    *(Request(method=method) for method in _SAFE),
    Request(version="HTTP/1.0", note="HTTP/1.0"),
    *(Request(headers=headers, note=note) for note, headers in _HEADERS.items()),
    Request(
        method="OPTIONS", headers=(_ORIGIN, ("Access-Control-Request-Method", "PUT")), note="a preflight"
    ),
    *(Request(target=target) for target in _TARGETS),
    *(Request(method=method, target=NOWHERE) for method in ("HEAD", "DELETE", "PROPFIND")),
    *(replace(upload, target=NOWHERE) for upload in _UPLOADS),
    Request(note="after a client that left"),
)

_MULTIPART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n%s\r\n--x--\r\n'
#: Bodies for a route of the app's own.
_BODIES = (
    Request(headers=_JSON, body=b"{}", note="JSON"),
    Request(headers=_FORM, body=b"a=1&b=2", note="a form"),
    Request(
        headers=(("Content-Type", "multipart/form-data; boundary=x"),),
        body=_MULTIPART % (b"z" * 200_000),
        note="a file",
    ),
    Request(headers=_OCTETS, body=b"chunk" * 20_000, chunks=12, note="a chunked upload"),
)


def of_routes(routes: Iterable[Route], *, all_methods: bool) -> list[Request]:
    """The app's own routes: each by its safe methods, or by all that it has."""
    asked: list[Request] = []
    seen: set[tuple[str, str]] = set()
    for route in [route for route in routes if not route.websocket][:_MOST_ROUTES]:
        for method in sorted(route.methods, key=lambda method: (method not in _SAFE, method)):
            if (method, route.path) in seen or (method not in _SAFE and not all_methods):
                continue
            seen.add((method, route.path))
            asked.append(Request(method=method, target=route.path, origin="route"))
            if method == "GET":
                asked.append(replace(asked[-1], headers=FORWARDED, note=PROXY))
            if method not in {*_SAFE, "DELETE"}:
                asked += [replace(body, method=method, target=route.path, origin="route") for body in _BODIES]
    return asked
