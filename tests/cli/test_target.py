"""What a server is given: the app found, wrapped, and under its root path."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, cast

import pytest

from bridge.cli.asked import MountPoint
from bridge.cli.target import AppKind, Target
from bridge.kind import is_async
from tests.support.asgi import call_asgi

if TYPE_CHECKING:
    from bridge.kind import Kind
    from bridge.types import ASGIApp

APPS = """
    class PerRequest:
        def __init__(self, scope, receive, send):
            self.scope, self.send = scope, send

        def __await__(self):
            return self.answer().__await__()

        async def answer(self):
            await self.send({"type": "http.response.start", "status": 200, "headers": []})
            body = f"{self.scope['root_path']} {self.scope['path']}".encode()
            await self.send({"type": "http.response.body", "body": body})

    async def asgi(scope, receive, send):
        await PerRequest(scope, receive, send)

    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    def unclear(*args):
        return wsgi(*args)

    async def nothing(scope, receive, send): ...

    import bridge
    site = bridge.Dispatcher({"/w": wsgi})

    number = 3
    """


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of a module ``target_apps`` in the current directory, which is not on the import path."""
    (tmp_path / "target_apps.py").write_text(dedent(APPS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in {"", str(tmp_path)}])
    Target(app="", interface="wsgi").find("target_apps:wsgi")
    yield vars(sys.modules["target_apps"])
    del sys.modules["target_apps"]


def loaded(target: Target) -> tuple[object, list[AppKind]]:
    """What a server gets of the target, and the kinds of its apps."""
    return target.assemble([target.find(name) for name in target.names])


def served(target: Target) -> object:
    return loaded(target)[0]


def test_an_app_of_the_servers_own_kind_is_given_as_it_is(apps: dict[str, Any]) -> None:
    assert loaded(Target(app="target_apps:wsgi", interface="wsgi")) == (apps["wsgi"], ["wsgi"])
    assert loaded(Target(app="target_apps:asgi", interface="asgi")) == (apps["asgi"], ["asgi"])


def test_an_app_of_the_other_kind_is_wrapped(apps: dict[str, Any]) -> None:
    from bridge.to_asgi.adapter import WsgiToAsgi
    from bridge.to_wsgi.adapter import AsgiToWsgi

    adapted, kinds = loaded(Target(app="target_apps:wsgi", interface="asgi", to_asgi={"threads": 3}))
    assert isinstance(adapted, WsgiToAsgi)
    assert kinds == ["wsgi"]
    adapted, kinds = loaded(Target(app="target_apps:asgi", interface="wsgi"))
    assert isinstance(adapted, AsgiToWsgi)
    assert kinds == ["asgi"]


def test_a_dispatcher_is_given_as_it_is_to_servers_of_either_kind(apps: dict[str, Any]) -> None:
    site = apps["site"]
    interfaces: list[Kind] = ["asgi", "wsgi"]
    for interface in interfaces:
        assert loaded(Target(app="target_apps:site", interface=interface)) == (site, ["both"])
    [body] = cast("Any", served(Target(app="target_apps:site", interface="wsgi", root_path="/root")))(
        {"PATH_INFO": "/root/w/x"}, lambda *_: None
    )
    assert body == b"/root/w /x"


def mounts(*words: str) -> tuple[MountPoint, ...]:
    return tuple(
        MountPoint(prefix=prefix, app=f"target_apps:{name}", fallback=fallback == "fallback")
        for prefix, name, fallback in (word.split() for word in words)
    )


def test_mounts_become_a_dispatcher(apps: dict[str, Any]) -> None:
    here = mounts("/a asgi no", "/w wsgi fallback", "/d site no", "/ nothing no")
    target = Target(mounts=here, interface="asgi", to_asgi={"threads": 3}, root_path="/root")
    adapted, kinds = loaded(target)
    assert kinds == ["asgi", "wsgi", "both", "asgi"]
    assert is_async(adapted)
    assert call_asgi(cast("ASGIApp", adapted), path="/a/x").body == b"/root/a /root/a/x"
    plain: Any = served(Target(mounts=here, interface="asgi", to_asgi={"threads": 3}))
    adapter = plain.mounts["/w"].app
    assert (adapter.threads, adapter.app, plain.mounts["/w"].fallback) == (3, apps["wsgi"], True)
    on_wsgi: Any = served(Target(mounts=here, interface="wsgi", root_path="/root"))
    [body] = on_wsgi({"PATH_INFO": "/d/w/x", "wsgi.input": io.BytesIO()}, lambda *_: None)
    assert body == b"/root/d/w /x"


def test_mounts_that_do_not_go_together(apps: dict[str, Any]) -> None:
    for here, says in (
        (mounts("/a asgi fallback"), "nothing to fall back to"),
        (mounts("/a number no"), "^/a: an object of class 'int' is not an app"),
    ):
        with pytest.raises((TypeError, ValueError), match=says):
            loaded(Target(mounts=here, interface="asgi", to_asgi={"threads": 3}))


def test_every_asgi_app_is_given_as_a_coroutine_function(apps: dict[str, Any]) -> None:
    for name, root_path in (("PerRequest", ""), ("PerRequest", "/root"), ("asgi", "/root")):
        target = Target(app=f"target_apps:{name}", interface="asgi", root_path=root_path)
        adapted = cast("ASGIApp", served(target))
        assert is_async(adapted)
        assert call_asgi(adapted, path="/x").body.decode() == f"{root_path} {root_path}/x"


def test_a_wsgi_app_is_put_under_the_root_path(apps: dict[str, Any]) -> None:
    under = served(Target(app="target_apps:wsgi", interface="wsgi", root_path="/root"))
    [body] = cast("Any", under)({"PATH_INFO": "/root/x"}, lambda *_: None)
    assert body == b"/root /x"


def test_the_kind_that_was_said_counts(apps: dict[str, Any]) -> None:
    target = Target(app="target_apps:unclear", interface="wsgi", kind="wsgi")
    assert loaded(target) == (apps["unclear"], ["wsgi"])
    with pytest.raises(TypeError, match="an object of class 'int' is not an app"):
        served(Target(app="target_apps:number", interface="wsgi", kind="wsgi"))


def test_a_target_travels_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(
        app="a:b",
        mounts=mounts("/é a fallback", "/ b no"),
        interface="asgi",
        kind="wsgi",
        to_asgi={"threads": 3},
        to_wsgi={"loop": "shared"},
        root_path="/é",
        sigterm_interrupts=True,
    )
    environment = target.environment({"HOME": "/home"})
    assert environment["HOME"] == "/home"
    monkeypatch.setenv(Target.VARIABLE, environment[Target.VARIABLE])
    assert Target.from_environment() == target
    monkeypatch.delenv(Target.VARIABLE)
    with pytest.raises(RuntimeError, match="BRIDGE_TARGET is not set"):
        Target.from_environment()
