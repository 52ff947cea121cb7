"""The requests of the check: its own, and those of an app's routes."""

from bridge.check.model import Route
from bridge.check.requests import BUILT_IN, PROXY, of_routes


def test_only_safe_methods_unless_asked_for_all() -> None:
    routes = [
        Route(path="/", methods=("GET", "HEAD", "OPTIONS")),
        Route(path="/1", methods=("GET", "HEAD", "OPTIONS", "POST")),
    ]
    safe = of_routes(routes, all_methods=False)
    assert {request.method for request in safe} == {"GET", "HEAD", "OPTIONS"}
    assert {request.target for request in safe} == {"/", "/1"}
    assert [request.method for request in safe if request.note == PROXY] == ["GET", "GET"]
    every = of_routes(routes, all_methods=True)
    posts = [request for request in every if request.method == "POST"]
    assert {request.note for request in posts} == {"", "JSON", "a form", "a file", "a chunked upload"}
    assert {request.target for request in posts} == {"/1"}


def test_the_built_in_requests_change_nothing() -> None:
    """What is not safe goes to a path that no app has."""
    for request in BUILT_IN:
        assert request.safe or request.target == "/bridge-check/nowhere"
        request.target.encode("ascii")


def test_a_websocket_and_a_route_that_is_there_twice_are_asked_for_once_at_most() -> None:
    route = Route(path="/a", methods=("GET",))
    asked = of_routes([route, route, Route(path="/talk", websocket=True)], all_methods=True)
    assert [(request.target, request.note) for request in asked] == [("/a", ""), ("/a", PROXY)]
