"""Telling apps' kinds: what is an app of which kind, and what is none. Who asks is in test_kind_takers."""

import functools
import sys
from typing import Any

import flask
import flask_socketio
import pytest
import socketio

from bridge import Dispatcher, WsgiToAsgi
from bridge.kind import UnknownKindError, guess_kind
from bridge.types import WSGIApp
from tests.support.kinds import (
    ASGI_APPS,
    WSGI_APPS,
    Asgi,
    DoubleCallable,
    Forwarding,
    Singleton,
    SingletonByMetaclass,
    UnnamedByMetaclass,
    UnnamedByNew,
    anything,
    asgi_function,
    async_view,
    double_callable,
    wsgi_function,
)


def test_objects_of_libraries_that_are_no_apps() -> None:
    for value, message in (
        (socketio.Server(async_mode="threading"), "socketio.WSGIApp"),
        (flask_socketio.SocketIO(), "the app is the Flask object"),
    ):
        with pytest.raises(TypeError, match=message):
            guess_kind(value)


@pytest.mark.parametrize("app", [UnnamedByNew, UnnamedByMetaclass])
def test_a_class_that_decides_what_a_call_gives_may_be_an_app_and_does_not_say_so(app: Any) -> None:
    """Who says it, knows."""
    with pytest.raises(UnknownKindError, match="nothing in it says which"):
        guess_kind(app)
    assert WsgiToAsgi(app).app is app
    Dispatcher({"/": WsgiToAsgi(app)})


def test_a_singletons_class_is_none() -> None:
    class Other(metaclass=SingletonByMetaclass):
        pass

    for app in (Singleton, Other):
        with pytest.raises(TypeError, match="an instance of it may be"):
            guess_kind(app)
    assert guess_kind(Singleton()) == "wsgi"


@pytest.mark.parametrize("name", WSGI_APPS)
def test_wsgi_apps_are_seen_to_be_wsgi(name: str) -> None:
    assert guess_kind(WSGI_APPS[name]()) == "wsgi"


@pytest.mark.parametrize("name", ASGI_APPS)
def test_asgi_apps_are_seen_to_be_asgi(name: str) -> None:
    assert guess_kind(ASGI_APPS[name]()) == "asgi"


def test_bridges_own_adapters_are_apps_of_the_other_kind() -> None:
    from bridge.to_asgi.adapter import WsgiToAsgi
    from bridge.to_wsgi.adapter import AsgiToWsgi

    wsgi: WSGIApp = wsgi_function
    assert guess_kind(WsgiToAsgi(wsgi)) == "asgi"
    assert guess_kind(AsgiToWsgi(asgi_function)) == "wsgi"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (42, "an object of class 'int' is not an app: it can't be called"),
        (sys, "the module 'sys' is not an app: it can't be called"),
        (lambda: wsgi_function, "takes no arguments"),
        (lambda request: request, "takes (request), neither"),
        (async_view, "it is async and doesn't take (scope, receive, send)"),
        (flask.Flask, "the class 'Flask' is not an app: an instance of it may be"),
        (Asgi, "the class 'Asgi' is not an app: an instance of it may be"),
        (DoubleCallable, "the class 'DoubleCallable' is an ASGI 2 app"),
        (double_callable, "guarantee_single_callable makes it ASGI 3"),
        (functools.partial(double_callable), "a partial of the function 'double_callable' is an ASGI 2 app"),
    ],
)
def test_what_is_no_app_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(TypeError) as caught:
        guess_kind(value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UnknownKindError)


def test_an_app_that_shows_nothing_is_not_guessed() -> None:
    view = Forwarding(lambda request: request)
    circle = Forwarding(None)
    circle.app = circle
    for app in (anything, Forwarding(anything), Forwarding(view), circle, max):
        with pytest.raises(UnknownKindError, match="as WSGI and as ASGI"):
            guess_kind(app)
