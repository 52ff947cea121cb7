"""The old part, in Flask: the pages, the cart in the session, the ticker, and what has not moved to the new API."""

import json
import time

from flask import Flask, Response, abort, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_sock import Sock
from simple_websocket import Server
from werkzeug.exceptions import HTTPException

from .catalogue import COFFEES, prices
from .sides import HEADER, TIMING, side_of_environ, timing, way_of_environ

shop = Flask(__name__)
shop.config.update(SECRET_KEY="an example has no secrets", SESSION_COOKIE_SAMESITE="Lax")
sock = Sock(shop)

NO_WEBSOCKET = "This server speaks WSGI, which has no WebSocket; the ticker needs an ASGI server."


@shop.template_filter()
def money(cents: int) -> str:
    return f"€{cents / 100:.2f}"


@shop.template_global()
def served_by() -> str:
    return f"Flask, {side_of_environ(request.environ)}"


def on_asgi() -> bool:
    return "asgi.scope" in request.environ


@shop.errorhandler(HTTPException)
def show_error(error: HTTPException) -> tuple[str, int]:
    return render_template("error.html", error=error), error.code or 500


@shop.before_request
def start_the_clock() -> None:
    g.started = time.perf_counter()


@shop.after_request
def say_who_answers(response: Response) -> Response:
    response.headers[HEADER] = served_by()
    response.headers[TIMING] = timing("Flask", request.method, way_of_environ(request.environ), g.started)
    return response


# --- the pages and the cart ---------------------------------------------------------------------------------


@shop.get("/")
def index() -> str:
    now = time.time()
    cart = {COFFEES[slug]: count for slug, count in session.get("cart", {}).items()}
    return render_template(
        "index.html",
        coffees=COFFEES.values(),
        history=[prices(now - second) for second in range(40, -1, -1)],
        cart=cart,
        total=_total(),
        no_websocket=None if on_asgi() else NO_WEBSOCKET,
    )


@shop.post("/cart")
def add_to_cart() -> ResponseReturnValue:
    slug = request.form["coffee"]
    if slug not in COFFEES:
        abort(404)
    cart: dict[str, int] = session.get("cart", {})
    session["cart"] = cart | {slug: cart.get(slug, 0) + 1}
    return redirect(url_for("index", _anchor="cart"), 303)


def _total() -> int:
    now = prices()
    return sum(now[slug] * count for slug, count in session.get("cart", {}).items())


# --- the ticker ---------------------------------------------------------------------------------------------


@shop.before_request
def refuse_websocket_without_asgi() -> None:
    # gunicorn would lend Flask-Sock its own socket, past WSGI: each open page would hold one more of its few threads.
    if request.endpoint == "ticker" and not on_asgi():
        abort(501, NO_WEBSOCKET)


@sock.route("/ticker")  # type: ignore[untyped-decorator]  # flask-sock has no type information
def ticker(socket: Server) -> None:
    while True:
        way = way_of_environ(request.environ)
        socket.send(json.dumps({"served_by": served_by(), "way": way, "cents": prices()}))
        # A second's sleep that ends at once when the visitor leaves: then it raises, and flask-sock ends the view.
        socket.receive(timeout=1)


# --- what has not moved to the new API ----------------------------------------------------------------------


@shop.get("/api/orders")
def orders() -> ResponseReturnValue:
    return {"orders": session.get("orders", [])}


@shop.post("/api/orders")
def place_order() -> ResponseReturnValue:
    if not session.get("cart"):
        abort(409, "the cart is empty")
    session["orders"] = [*session.get("orders", []), {"items": session["cart"], "cents": _total()}]
    del session["cart"]
    flash(f"Thank you! Your order number {len(session['orders'])} is on its way.")
    return redirect(url_for("index", _anchor="cart"), 303)


@shop.get("/api/products/<slug>/picture")
def drawn_picture(slug: str) -> ResponseReturnValue:
    """The picture of a coffee that nobody has uploaded one for."""
    if slug not in COFFEES:
        abort(404)
    picture = render_template("picture.svg", coffee=COFFEES[slug])
    return Response(picture, mimetype="image/svg+xml", headers={"Cache-Control": "no-cache"})
