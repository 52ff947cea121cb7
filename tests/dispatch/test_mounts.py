"""What ``Dispatcher`` is given, checked, and made into what either interface calls."""

from collections.abc import Iterable
from typing import Any

import pytest

from bridge import AsgiToWsgi, Dispatcher, Mount, WsgiToAsgi
from bridge.dispatch.mounts import Part, make_parts
from bridge.types import Environ, Receive, Scope, Send, StartResponse

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("making parts calls no app")


async def other_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("making parts calls no app")


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise AssertionError("making parts calls no app")


def only(mounts: Any) -> Part:
    _, (part,) = make_parts(mounts)
    return part


# One app.


def test_an_app_of_each_kind_has_its_adapter_for_the_other_side() -> None:
    part = only({"/a": asgi})
    assert part.asgi is asgi
    assert isinstance(part.wsgi, AsgiToWsgi)
    assert part.wsgi.app is asgi
    part = only({"/w": wsgi})
    assert part.wsgi is wsgi
    assert isinstance(part.asgi, WsgiToAsgi)
    assert part.asgi.app is wsgi


def test_the_users_adapter_is_used_on_its_side_and_taken_off_on_the_other() -> None:
    to_wsgi, to_asgi = AsgiToWsgi(asgi), WsgiToAsgi(wsgi)
    part = only({"/": to_wsgi})
    assert (part.asgi, part.wsgi) == (asgi, to_wsgi)
    part = only({"/": to_asgi})
    assert (part.asgi, part.wsgi) == (to_asgi, wsgi)


def test_a_dispatcher_is_both_and_nested() -> None:
    inner = Dispatcher({"/": asgi})
    part = only({"/x": inner})
    both: list[object] = [part.asgi, part.wsgi]
    assert both == [inner, inner]
    assert part.nested
    assert not only({"/": asgi}).nested


@pytest.mark.parametrize(
    "mounts", [{"/a": asgi, "/b": AsgiToWsgi(asgi)}, {"/a": AsgiToWsgi(asgi), "/b": asgi}]
)
def test_the_users_adapter_holds_wherever_its_app_is_mounted(mounts: Any) -> None:
    """In whatever order, and its word on the lifespan as well."""
    mine = next(app for app in mounts.values() if isinstance(app, AsgiToWsgi))
    _, parts = make_parts(mounts)
    assert [part.wsgi for part in parts] == [mine, mine]
    mine.lifespan = "off"
    _, parts = make_parts(mounts)
    assert [part.lifespan for part in parts] == ["off", "off"]


@pytest.mark.parametrize("mode", ["auto", "on", "off"])
def test_the_lifespan_is_what_the_users_adapter_says(mode: Any) -> None:
    assert only({"/": AsgiToWsgi(asgi, lifespan=mode)}).lifespan == mode
    assert only({"/": asgi}).lifespan == only({"/": wsgi}).lifespan == "auto"


# Where it is.


@pytest.mark.parametrize(
    ("prefix", "normal", "wire", "place"),
    [("/", "", "", "/"), ("/a/", "/a", "/a", "/a"), ("/é b", "/é b", "/\xc3\xa9 b", "/é b")],
)
def test_prefixes(prefix: str, normal: str, wire: str, place: str) -> None:
    part = only({prefix: asgi})
    assert (part.prefix, part.wire, part.place) == (normal, wire, place)
    firsts, _ = make_parts({prefix: asgi})
    assert list(firsts) == [normal]


def test_all_parts_are_in_the_order_of_the_mounts_and_the_first_of_each_prefix_is_asked_first() -> None:
    firsts, parts = make_parts({"/b": [asgi, wsgi], "/a": other_asgi})
    assert [part.place for part in parts] == ["/b (app 1 of 2)", "/b (app 2 of 2)", "/a"]
    assert {prefix: part.place for prefix, part in firsts.items()} == {"/b": "/b (app 1 of 2)", "/a": "/a"}


# Who is asked next.


def test_the_apps_of_a_list_are_asked_in_turn() -> None:
    firsts, parts = make_parts({"/": [asgi, wsgi, other_asgi]})
    assert list(firsts[""].chain()) == parts
    assert parts[-1].fallback is None


def test_a_mount_falls_back_to_the_longest_prefix_above_it_whatever_the_order() -> None:
    for prefixes in (["/", "/a", "/a/b", "/a/b/c"], ["/a/b/c", "/a/b", "/a", "/"]):
        mounts: dict[str, Any] = dict.fromkeys(prefixes, asgi)
        mounts["/a/b/c"] = Mount(wsgi, fallback=True)
        mounts["/a/b"] = Mount(other_asgi)
        firsts, _ = make_parts(mounts)
        assert [part.prefix for part in firsts["/a/b/c"].chain()] == ["/a/b/c", "/a/b"]
        mounts["/a/b"] = Mount(other_asgi, fallback=True)
        firsts, _ = make_parts(mounts)
        assert [part.prefix for part in firsts["/a/b/c"].chain()] == ["/a/b/c", "/a/b", "/a"]


def test_a_chain_ends_whatever_is_mounted() -> None:
    """Each falls back to a shorter prefix, or to one behind it in a list."""
    firsts, parts = make_parts(
        {
            "/a/b": Mount(asgi, fallback=True),
            "/a": Mount(wsgi, fallback=True),
            "/": [other_asgi, AsgiToWsgi(asgi), WsgiToAsgi(wsgi)],
        }
    )
    assert all(len(list(part.chain())) <= len(parts) for part in parts)
    assert len(list(firsts["/a/b"].chain())) == 5


def test_without_fallback_a_mount_is_the_app_alone() -> None:
    for mounted in (asgi, Mount(asgi), [asgi], (asgi,)):
        firsts, (part,) = make_parts({"/x": mounted})
        assert list(firsts["/x"].chain()) == [part]
        assert part.place == "/x"


# What is refused; more of it in test_dispatcher and test_lists.


@pytest.mark.parametrize(
    ("mounts", "error", "says"),
    [
        (5, TypeError, "mapping of prefixes to apps, such as .*, not int"),
        ({}, ValueError, "no app is mounted"),
        ({5: asgi}, TypeError, "the prefix 5 is no string"),
        ({"/x": asgi, "/x/": wsgi}, ValueError, r"two apps are mounted at '/x'.*'/x': \[first, second\]"),
        ({"/x": []}, ValueError, "^/x: the list of apps is empty"),
        ({"/x": [asgi, [wsgi]]}, TypeError, "^/x: a list in a list"),
        ({"/x": [asgi, Mount(wsgi)]}, TypeError, "^/x: a Mount in a list"),
        ({"/x": Mount([asgi])}, TypeError, "^/x: a Mount is of one app"),  # type: ignore[arg-type]  # it is refused
        ({"/x": [asgi, wsgi, asgi]}, ValueError, "^/x: the same app is twice"),
        ({"/x": [asgi, AsgiToWsgi(asgi)]}, ValueError, "^/x: the same app is twice"),
        ({"/x": [asgi, 5]}, TypeError, r"^/x \(app 2 of 2\): .*not an app"),
        ({"/x": Mount(asgi, fallback=True)}, ValueError, "there is nothing to fall back to"),
        ({"/": Mount(asgi, fallback=True), "/x": wsgi}, ValueError, "at '/' has fallback=True"),
    ],
)
def test_what_can_not_be_mounted(mounts: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make_parts(mounts)
