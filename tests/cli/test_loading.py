"""Loading the target in the server's process: one import, one line where it can't be served, and the server's log."""

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.asked import MountPoint
from bridge.cli.loading import NotServedError, found, tell
from bridge.cli.target import Target


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the module ``site_`` in the current directory; what is imported is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path / "site_.py"
    for name in set(sys.modules) - before:
        del sys.modules[name]


def told(target: Target, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines for a target that can't be served, the error's own last."""
    with pytest.raises(NotServedError) as caught:
        found(target)
    # Versions of Python mark the place in a line, by a line of "^", each as it likes.
    out, err = capsys.readouterr()
    assert out == ""
    return [*(line for line in err.splitlines() if line.strip(" ^~")), str(caught.value)]


@pytest.mark.parametrize(
    ("source", "app", "lines"),
    [
        ("", "site_:app", ["site_:app: module 'site_' has no attribute 'app'"]),
        ("app = 3", "site_", ["site_: an object of class 'int' is not an app: it can't be called"]),
        (
            "def app(*a): ...",
            "site_",
            [
                (
                    "site_: the function 'app' can be called as WSGI and as ASGI, "
                    "and nothing in it says which it is; say --kind wsgi or --kind asgi"
                ),
            ],
        ),
        (
            "def make(name): ...",
            "site_:make()",
            [
                (
                    "site_:make(): make() missing 1 required positional argument: 'name'; "
                    "write them as in create_app('test'), or, if make is the app itself, neither () nor --factory"
                ),
            ],
        ),
        (
            "import nothing_like_that",
            "site_",
            [
                "Traceback (most recent call last):",
                '  File "{file}", line 1, in <module>',
                "    import nothing_like_that",
                "ModuleNotFoundError: No module named 'nothing_like_that'",
                "site_: ModuleNotFoundError was raised, with the traceback above",
            ],
        ),
        (
            "def make():\n    return len(3)",
            "site_:make()",
            [
                "Traceback (most recent call last):",
                '  File "{file}", line 2, in make',
                "    return len(3)",
                "TypeError: object of type 'int' has no len()",
                "site_:make(): TypeError was raised, with the traceback above",
            ],
        ),
        (
            "def make():\n    raise SystemExit(7)",
            "site_:make()",
            [
                "site_:make(): it ends the process instead of making an app, by SystemExit(7) in line 2 of {file}"
            ],
        ),
        (
            "import sys\n\nsys.exit()",
            "site_",
            ["site_: it ends the process instead of making an app, by SystemExit() in line 3 of {file}"],
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    site: Path, source: str, app: str, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text(source)
    assert told(Target(app=app, interface="wsgi"), capsys) == [line.format(file=site) for line in lines]


def test_of_mounts_the_one_that_is_wrong_is_named(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write_text("def app(environ, start_response): ...\ndef either(*a): ...\nnumber = 3\n")
    for second, fallback, says in (
        ("site_:ap", False, "site_:ap: module 'site_' has no attribute 'ap'; did you mean 'app'?"),
        ("site_:number", False, "/b: an object of class 'int' is not an app: it can't be called"),
        ("site_:app", True, "the mount at '/b' has fallback=True, and no other mount has a prefix above it"),
        ("site_:either", False, "/b: the function 'either' can be called as WSGI and as ASGI"),
    ):
        both = (
            MountPoint(prefix="/a", app="site_:app"),
            MountPoint(prefix="/b", app=second, fallback=fallback),
        )
        [line] = told(Target(mounts=both, interface="wsgi"), capsys)
        assert line.startswith(says)


def test_the_module_is_imported_once(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write_text("print('imported')\ndef app(environ, start_response): ...")
    assert found(Target(app="site_", interface="wsgi"))[1] == ["wsgi"]
    assert capsys.readouterr().out == "imported\n"


def test_options_of_an_adapter_that_is_not_there(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write_text("async def app(scope, receive, send): ...")
    target = Target(app="site_", interface="asgi", to_asgi={"max_body_size": 3})
    [line] = told(target, capsys)
    assert line.startswith("--max-body-size: site_ is an ASGI app, which uvicorn calls itself")


def test_a_loop_factory_that_is_not_there(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write_text("async def app(scope, receive, send): ...")
    target = Target(app="site_", interface="wsgi", to_wsgi={"loop_factory": "nowhere:new"})
    [line] = told(target, capsys)
    assert line.startswith("--loop-factory nowhere:new: No module named 'nowhere' in ")


def test_a_loop_factory_is_found_by_its_name(site: Path) -> None:
    site.write_text(
        "import asyncio\nfrom asyncio import new_event_loop\nasync def app(scope, receive, send): ..."
    )
    served: Any = found(
        Target(
            app="site_", interface="wsgi", to_wsgi={"loop_factory": "site_:new_event_loop", "loop": "shared"}
        )
    )[0]
    assert served.loop_factory is sys.modules["site_"].asyncio.new_event_loop


@pytest.fixture
def log_of_server() -> Iterator[io.StringIO]:
    """A log as uvicorn sets it up, and the logger ``bridge`` as it was afterwards."""
    own = logging.getLogger("bridge")
    kept = [(handler, handler.formatter) for handler in own.handlers], own.level
    log, stream = logging.getLogger("uvicorn"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("<%(levelname)s> %(message)s"))
    before = log.handlers, log.level, log.propagate
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)
    yield stream
    log.handlers, log.level, log.propagate = before
    for each, formatter in kept[0]:
        each.setFormatter(formatter)
    own.setLevel(kept[1])


def test_the_lines_go_to_the_servers_log_in_its_format(
    log_of_server: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(app="x:app", interface="asgi")
    tell(target, ["asgi"], first=True)
    assert log_of_server.getvalue() == (
        "<INFO> bridge: ASGI app x:app, as it is: the server's event loop runs it, and streams hold no thread\n"
    )
    tell(target, ["asgi"], first=False)
    assert log_of_server.getvalue().count("\n") == 1

    # What nobody else takes is written by the bridge's last resort, in that format too.
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    logging.getLogger("bridge").warning("look at %s", "this")
    assert capsys.readouterr().err == "<WARNING> bridge: look at this\n"


def test_a_log_level_holds_for_the_bridge_too(log_of_server: io.StringIO) -> None:
    tell(Target(app="x:app", interface="asgi", log_level="error"), ["asgi"], first=True)
    assert log_of_server.getvalue() == ""
    assert not logging.getLogger("bridge").isEnabledFor(logging.WARNING)


def test_a_server_without_such_an_option_has_its_logger_set() -> None:
    log, own = logging.getLogger("waitress"), logging.getLogger("bridge")
    levels = log.level, own.level
    formats = [handler.formatter for handler in own.handlers]
    try:
        tell(
            Target(app="x:app", interface="wsgi", server="waitress", log_level="error"), ["wsgi"], first=True
        )
        assert (log.level, own.level) == (logging.ERROR, logging.ERROR)
    finally:
        log.setLevel(levels[0])
        own.setLevel(levels[1])
        for handler, formatter in zip(own.handlers, formats, strict=True):
            handler.setFormatter(formatter)


def test_a_server_without_a_log_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    own = logging.getLogger("bridge").handlers[0].formatter
    tell(Target(app="x:app", interface="wsgi", server="wsgiref", threads=1), ["wsgi"], first=True)
    expected = "bridge: WSGI app x:app, as it is: one request at a time, so that a stream stops all others\n"
    assert capsys.readouterr().err == expected
    assert logging.getLogger("bridge").handlers[0].formatter is own
