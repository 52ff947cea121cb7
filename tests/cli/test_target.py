"""What a server is given: the app found, wrapped, and under its root path."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, cast

import pytest

from bridge.cli.target import AppKind, MountPoint, Target
from bridge.kind import is_async
from tests.support.asgi import call_asgi
from tests.support.servers import REPOSITORY

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
    Target(app="target_apps:wsgi", interface="wsgi").load()
    yield vars(sys.modules["target_apps"])
    del sys.modules["target_apps"]


def loaded(target: Target) -> tuple[object, list[AppKind]]:
    """What a server gets of the target, and the kinds of its apps."""
    return target.assemble([target.find(name) for name in target.names])


def test_an_app_of_the_servers_own_kind_is_given_as_it_is(apps: dict[str, Any]) -> None:
    assert loaded(Target(app="target_apps:wsgi", interface="wsgi")) == (apps["wsgi"], ["wsgi"])
    assert loaded(Target(app="target_apps:asgi", interface="asgi")) == (apps["asgi"], ["asgi"])


def test_an_app_of_the_other_kind_is_wrapped(apps: dict[str, Any]) -> None:
    from bridge.to_asgi.adapter import WsgiToAsgi
    from bridge.to_wsgi.adapter import AsgiToWsgi

    served, kinds = loaded(Target(app="target_apps:wsgi", interface="asgi", threads=3))
    assert isinstance(served, WsgiToAsgi)
    assert kinds == ["wsgi"]
    served, kinds = loaded(Target(app="target_apps:asgi", interface="wsgi"))
    assert isinstance(served, AsgiToWsgi)
    assert kinds == ["asgi"]


def test_a_dispatcher_is_given_as_it_is_to_servers_of_either_kind(apps: dict[str, Any]) -> None:
    site = apps["site"]
    interfaces: list[Kind] = ["asgi", "wsgi"]
    for interface in interfaces:
        assert loaded(Target(app="target_apps:site", interface=interface)) == (site, ["both"])
    settled = Target(app="target_apps:site", interface="wsgi", kind="both")
    assert settled.load() is site
    [body] = cast("Any", Target(app="target_apps:site", interface="wsgi", root_path="/root").load())(
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
    target = Target(mounts=here, interface="asgi", threads=3, root_path="/root")
    served, kinds = loaded(target)
    assert kinds == ["asgi", "wsgi", "both", "asgi"]
    assert is_async(served)
    assert call_asgi(cast("ASGIApp", served), path="/a/x").body == b"/root/a /root/a/x"
    plain: Any = Target(mounts=here, interface="asgi", threads=3).load()
    adapter = plain.mounts["/w"].app
    assert (adapter.threads, adapter.app, plain.mounts["/w"].fallback) == (3, apps["wsgi"], True)
    on_wsgi: Any = Target(mounts=here, interface="wsgi", root_path="/root").load()
    [body] = on_wsgi({"PATH_INFO": "/d/w/x", "wsgi.input": io.BytesIO()}, lambda *_: None)
    assert body == b"/root/d/w /x"


def test_mounts_that_do_not_go_together(apps: dict[str, Any]) -> None:
    for here, says in (
        (mounts("/a asgi fallback"), "nothing to fall back to"),
        (mounts("/a number no"), "^/a: an object of class 'int' is not an app"),
    ):
        with pytest.raises((TypeError, ValueError), match=says):
            loaded(Target(mounts=here, interface="asgi", threads=3))


def test_every_asgi_app_is_given_as_a_coroutine_function(apps: dict[str, Any]) -> None:
    for name, root_path in (("PerRequest", ""), ("PerRequest", "/root"), ("asgi", "/root")):
        target = Target(app=f"target_apps:{name}", interface="asgi", root_path=root_path)
        served = cast("ASGIApp", target.load())
        assert is_async(served)
        assert call_asgi(served, path="/x").body.decode() == f"{root_path} {root_path}/x"


def test_a_wsgi_app_is_put_under_the_root_path(apps: dict[str, Any]) -> None:
    served = Target(app="target_apps:wsgi", interface="wsgi", root_path="/root").load()
    [body] = cast("Any", served)({"PATH_INFO": "/root/x"}, lambda *_: None)
    assert body == b"/root /x"


def test_the_kind_that_was_said_counts(apps: dict[str, Any]) -> None:
    target = Target(app="target_apps:unclear", interface="wsgi", kind="wsgi")
    assert loaded(target) == (apps["unclear"], ["wsgi"])
    with pytest.raises(TypeError, match="an object of class 'int' is not an app"):
        Target(app="target_apps:number", interface="wsgi", kind="wsgi").load()


def test_a_target_travels_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(
        app="a:b",
        mounts=mounts("/é a fallback", "/ b no"),
        interface="asgi",
        kind="wsgi",
        threads=3,
        root_path="/é",
        sigterm_interrupts=True,
    )
    environment = target.environment({"HOME": "/home"})
    assert environment["HOME"] == "/home"
    monkeypatch.setenv(Target.VARIABLE, environment[Target.VARIABLE])
    assert Target.from_environment() == target
    assert target.with_kind("asgi").kind == "asgi"
    monkeypatch.delenv(Target.VARIABLE)
    with pytest.raises(RuntimeError, match="BRIDGE_SERVE is not set"):
        Target.from_environment()


def try_out(app: str, directory: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = Target(app=app, interface="wsgi", **more).environment(os.environ)
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli.target"],
        cwd=directory,
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_trial_answers_the_kind_and_nothing_else(tmp_path: Path) -> None:
    loud = """
        import os, sys
        print("from print")
        os.system("echo from a child")

        def app(environ, start_response): ...
        """
    (tmp_path / "loud.py").write_text(dedent(loud))
    trial = try_out("loud:app", tmp_path)
    assert (trial.returncode, trial.stdout) == (0, "wsgi")
    assert sorted(trial.stderr.splitlines()) == ["from a child", "from print"]


def test_the_trial_of_mounts_names_the_one_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "site_.py").write_text(
        "def app(environ, start_response): ...\ndef either(*a): ...\nnumber = 3\n"
    )
    for second, fallback, says in (
        ("site_:ap", False, "site_:ap: module 'site_' has no attribute 'ap'; did you mean 'app'?"),
        ("site_:number", False, "/b: an object of class 'int' is not an app: it can't be called"),
        (
            "site_:app",
            True,
            "the mount at '/b' has fallback=True, and no other mount has a prefix above it: there ",
        ),
        (
            "site_:either",
            False,
            "/b: the function 'either' can be called as WSGI and as ASGI, and nothing in it ",
        ),
    ):
        both = (
            MountPoint(prefix="/a", app="site_:app"),
            MountPoint(prefix="/b", app=second, fallback=fallback),
        )
        trial = try_out("", tmp_path, mounts=both)
        assert (trial.returncode, trial.stdout) == (2, "")
        assert trial.stderr.startswith(f"bridge: error: {says}")
        assert trial.stderr.count("\n") == 1
    good = (MountPoint(prefix="/a", app="site_:app"), MountPoint(prefix="/", app="site_:app"))
    assert try_out("", tmp_path, mounts=good).stdout == "wsgi wsgi"


@pytest.mark.parametrize(
    ("source", "app", "lines"),
    [
        ("", "site_:app", ["bridge: error: site_:app: module 'site_' has no attribute 'app'"]),
        (
            "app = 3",
            "site_",
            ["bridge: error: site_: an object of class 'int' is not an app: it can't be called"],
        ),
        (
            "def app(*a): ...",
            "site_",
            [
                (
                    "bridge: error: site_: the function 'app' can be called as WSGI and as ASGI, "
                    "and nothing in it says which it is; say --kind wsgi or --kind asgi"
                ),
            ],
        ),
        (
            "def make(name): ...",
            "site_:make()",
            ["bridge: error: site_:make(): make() missing 1 required positional argument: 'name'"],
        ),
        (
            "import nothing_like_that",
            "site_",
            [
                "Traceback (most recent call last):",
                '  File "{directory}/site_.py", line 1, in <module>',
                "    import nothing_like_that",
                "ModuleNotFoundError: No module named 'nothing_like_that'",
                "bridge: error: site_: ModuleNotFoundError was raised, with the traceback above",
            ],
        ),
        (
            "def make():\n    raise SystemExit(7)",
            "site_:make()",
            [
                "Traceback (most recent call last):",
                '  File "{directory}/site_.py", line 2, in make',
                "    raise SystemExit(7)",
                "SystemExit: 7",
                "bridge: error: site_:make(): SystemExit was raised, with the traceback above",
            ],
        ),
        (
            "def make():\n    return len(3)",
            "site_:make()",
            [
                "Traceback (most recent call last):",
                '  File "{directory}/site_.py", line 2, in make',
                "    return len(3)",
                "TypeError: object of type 'int' has no len()",
                "bridge: error: site_:make(): TypeError was raised, with the traceback above",
            ],
        ),
    ],
)
def test_the_trial_tells_what_is_wrong(tmp_path: Path, source: str, app: str, lines: list[str]) -> None:
    (tmp_path / "site_.py").write_text(source)
    trial = try_out(app, tmp_path)
    assert (trial.returncode, trial.stdout) == (2, "")
    # Versions of Python mark the place in a line, by a line of "^", each as it likes.
    told = [line for line in trial.stderr.splitlines() if line.strip(" ^~")]
    assert told == [line.format(directory=tmp_path) for line in lines]
