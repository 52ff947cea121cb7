"""The common contract of the framework apps, in Falcon; see ``test_wsgi_frameworks``."""

import hashlib
from collections.abc import Iterator

import falcon
from falcon import App, Request, Response

app = App()


class Hello:
    def on_get(self, request: Request, response: Response) -> None:
        response.content_type = "text/plain"
        response.text = f"hello {request.params['name']}"


class Path:
    def on_get(self, request: Request, response: Response, rest: str) -> None:
        response.media = {"rest": rest, "script": request.root_path, "url": request.url}


class Body:
    def on_post(self, request: Request, response: Response) -> None:
        data = request.bounded_stream.read()
        response.media = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class Form:
    def on_post(self, request: Request, response: Response) -> None:
        media: dict[str, object] = {}
        for part in request.get_media():
            if part.name == "field":
                media["field"] = part.text
            else:
                data = part.stream.read()
                digest = hashlib.sha256(data).hexdigest()
                media |= {"filename": part.filename, "size": len(data), "sha256": digest}
        response.media = media


class Count:
    def on_get(self, request: Request, response: Response) -> None:
        count = int(request.cookies.get("count", 0)) + 1
        response.set_cookie("count", str(count), secure=False)
        response.media = {"count": count, "cookie": request.cookies.get("other", "")}


class Stream:
    def on_get(self, request: Request, response: Response) -> None:
        def chunks() -> Iterator[bytes]:
            for number in range(request.get_param_as_int("chunks", required=True)):
                yield b"%06d\n" % number

        response.content_type = "text/plain"
        response.stream = chunks()


class Away:
    def on_get(self, request: Request, response: Response) -> None:
        raise falcon.HTTPFound("hello?name=there")


class Empty:
    def on_get(self, request: Request, response: Response) -> None:
        response.status = falcon.HTTP_204


class Boom:
    def on_get(self, request: Request, response: Response) -> None:
        raise RuntimeError("boom in a view")


app.add_route("/hello", Hello())
app.add_route("/path/{rest:path}", Path())
app.add_route("/body", Body())
app.add_route("/form", Form())
app.add_route("/count", Count())
app.add_route("/stream", Stream())
app.add_route("/away", Away())
app.add_route("/empty", Empty())
app.add_route("/boom", Boom())
