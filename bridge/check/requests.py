"""The requests that are sent: a built-in set, and the app's own routes. What servers understand each in its own way,
malformed requests that is, is left out: the check is about the app.
"""

from collections.abc import Iterable
from dataclasses import replace

from .model import Request, Route

__all__ = ["PROXY", "built_in", "of_routes"]

#: The note of a request as a proxy sends it, and what it adds.
PROXY = "from a proxy"
FORWARDED = (("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"))
NOWHERE = "/bridge-check/nowhere"
_SAFE = ("GET", "HEAD", "OPTIONS")
_MOST_ROUTES = 200


def built_in() -> list[Request]:
    """The same for each app: what an unknown app may be asked without a change to what it keeps."""
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    json = (("Content-Type", "application/json"),)
    octets = (("Content-Type", "application/octet-stream"),)
    return [
        Request(),
        Request(method="HEAD"),
        Request(method="OPTIONS"),
        Request(version="HTTP/1.0", note="HTTP/1.0"),
        *(
            Request(headers=headers, note=note)
            for note, headers in (
                ("a range", (("Range", "bytes=0-9"),)),
                ("a range past the end", (("Range", "bytes=99999999-"),)),
                ("if modified", (("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),)),
                ("if none match", (("If-None-Match", "*"),)),
                ("for JSON", (("Accept", "application/json"),)),
                ("gzip", (("Accept-Encoding", "gzip"),)),
                ("a language", (("Accept-Language", "de, en;q=0.5"),)),
                ("another origin", (("Origin", "https://other.example"),)),
                ("odd cookies", (("Cookie", 'a="1, 2"; b; c=%ff; d=x=y'),)),
                ("a big header", (("X-Big", "v" * 6000),)),
                ("60 headers", tuple((f"X-{number}", str(number)) for number in range(60))),
                (PROXY, FORWARDED),
            )
        ),
        Request(
            method="OPTIONS",
            headers=(("Origin", "https://other.example"), ("Access-Control-Request-Method", "PUT")),
            note="a preflight",
        ),
        *(
            Request(target=target)
            for target in (
                *(
                    NOWHERE,
                    f"{NOWHERE}/",
                    "/bridge%20check",
                    "/bridge+check",
                    "/caf%C3%A9",
                    "/caf%E9",
                    "/a%2Fb",
                ),
                *("/a//b", "/a;b=c", "/a:b@c", "/%25", "/%F0%9F%98%80", "/a/../b", "/" + "a" * 1000),
                *("/?a=1&a=2", "/?", "/?a=%20+%2B", "/?q=caf%C3%A9", "/?q=%FF", "/?a;b=c", "/?a[]=1&b={c}"),
                *("/?a=" + "x" * 3000, "/?next=//other.example/", "/?&&=&"),
            )
        ),
        *(Request(method=method, target=NOWHERE) for method in ("HEAD", "DELETE", "PROPFIND")),
        *(
            Request(method=method, target=NOWHERE, headers=headers, body=body, chunks=chunks, note=note)
            for method, headers, body, chunks, note in (
                ("POST", form, b"a=1&b=2", 0, "a form"),
                ("PUT", json, b'{"a": 1}', 0, "JSON"),
                ("PATCH", json, b"{", 0, "broken JSON"),
                ("POST", form, b"", 0, "an empty body"),
                ("POST", octets, b"\x00\xff" * 150_000, 0, "a large upload"),
                ("POST", octets, b"chunk" * 20_000, 12, "a chunked upload"),
                ("POST", (*form, ("Expect", "100-continue")), b"a=1", 0, "expecting 100"),
            )
        ),
        Request(
            method="POST",
            target=NOWHERE,
            body=b"x" * 100_000,
            break_off=True,
            note="an upload that breaks off",
        ),
        Request(note="after a client that left"),
    ]


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
                asked += _bodies(method, route.path)
    return asked


def _bodies(method: str, path: str) -> list[Request]:
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    json = (("Content-Type", "application/json"),)
    multipart = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n%s\r\n--x--\r\n'
    return [
        Request(
            method=method, target=path, headers=headers, body=body, chunks=chunks, note=note, origin="route"
        )
        for headers, body, chunks, note in (
            (json, b"{}", 0, "JSON"),
            (form, b"a=1&b=2", 0, "a form"),
            (
                (("Content-Type", "multipart/form-data; boundary=x"),),
                multipart % (b"z" * 200_000),
                0,
                "a file",
            ),
            ((("Content-Type", "application/octet-stream"),), b"chunk" * 20_000, 12, "a chunked upload"),
        )
    ]
