"""The common contract of the framework apps, in Pyramid; see ``test_wsgi_frameworks``."""

import hashlib
from collections.abc import Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory


def hello(request: Any) -> Any:
    return Response(f"hello {request.params['name']}", content_type="text/plain")


def path(request: Any) -> Any:
    rest = "/".join(request.matchdict["rest"])
    return Response(json_body={"rest": rest, "script": request.script_name, "url": request.url})


def body(request: Any) -> Any:
    data = request.body
    return Response(json_body={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})


def form(request: Any) -> Any:
    upload = request.POST["upload"]
    data = upload.file.read()
    digest = hashlib.sha256(data).hexdigest()
    field = request.POST["field"]
    answer = {"field": field, "filename": upload.filename, "size": len(data), "sha256": digest}
    return Response(json_body=answer)


def count(request: Any) -> Any:
    request.session["count"] = request.session.get("count", 0) + 1
    return {"count": request.session["count"], "cookie": request.cookies.get("other", "")}


def stream(request: Any) -> Any:
    def chunks() -> Iterator[bytes]:
        for number in range(int(request.params["chunks"])):
            yield b"%06d\n" % number

    return Response(app_iter=chunks(), content_type="text/plain")


def away(request: Any) -> Any:
    # A relative Location would be made absolute by WebOb from the path of the request: the same thing.
    return HTTPFound(location="hello?name=there")


def empty(request: Any) -> Any:
    return Response(status=204)


def boom(request: Any) -> Any:
    raise RuntimeError("boom in a view")


def make_app() -> Any:
    with Configurator(session_factory=SignedCookieSessionFactory("test")) as config:
        for view in (hello, body, form, stream, away, empty, boom):
            config.add_route(view.__name__, f"/{view.__name__}")
            config.add_view(view, route_name=view.__name__)
        config.add_route("count", "/count")
        config.add_view(count, route_name="count", renderer="json")
        config.add_route("path", "/path/*rest")
        config.add_view(path, route_name="path")
        return config.make_wsgi_app()


app = make_app()
