"""Where modules are looked for, and what is said of one that isn't there."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli.errors import UsageError
from bridge.cli.find_app import AppNotFoundError, find_app
from bridge.cli.folders import app_folder, module_words, search_first


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a package below ``src`` and a Django project below ``project``.

    What is imported is forgotten after the test.
    """
    for path in ("src/store/__init__.py", "src/store/wsgi.py", "project/mysite/wsgi.py", "with space/web.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("app = __file__")
    (tmp_path / "shop.py").write_text("app = __file__")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in {"", str(tmp_path)}])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def told(spec: str, app_dir: str = "") -> str:
    with pytest.raises(AppNotFoundError) as caught:
        find_app(spec, app_dir=app_dir)
    return str(caught.value)


def test_the_named_folder_comes_first_and_then_the_current_one(here: Path) -> None:
    (here / "src" / "shop.py").write_text("app = __file__")
    src = str(here / "src")
    assert find_app("shop:app", app_dir=src) == str(here / "src" / "shop.py")
    assert find_app("web:app", app_dir=str(here / "with space")) == str(here / "with space" / "web.py")
    for _ in range(2):
        assert search_first(src) == [src, str(here)]
        assert sys.path[:2] == [src, str(here)]
        assert sys.path.count(src) < 3


def test_an_entry_for_the_current_folder_wherever_it_is_hides_no_named_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PYTHONPATH=: has it first, which Python doesn't replace with where it is."""
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert find_app("store.wsgi", app_dir=str(here / "src")) == str(here / "src" / "store" / "wsgi.py")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "shp:app",
            "No module named 'shp' in {here}, nor among what is installed; did you mean 'shop'?; --app-dir DIR",
        ),
        (
            "store.wsgi:app",
            "No module named 'store' in {here}, nor among what is installed; it is in src: say --app-dir src",
        ),
        (
            "store:app",
            "No module named 'store' in {here}, nor among what is installed; it is in src: say --app-dir src",
        ),
        # A folder is a package without a module in it, where there is no other.
        (
            "project.wsgi:app",
            "No module named 'project.wsgi' in {here}/project",
        ),
        ("web:app", "; it is in with space: say --app-dir 'with space'"),
        ("http.sever:app", "; did you mean 'http.server'?"),
    ],
)
def test_where_it_was_looked_for_and_where_it_may_be(here: Path, spec: str, message: str) -> None:
    assert message.replace("{here}", str(here)) in told(spec)


def test_from_inside_the_package_and_from_above_the_project(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "mysite").mkdir()
    assert told("mysite.wsgi:app") == (
        f"No module named 'mysite.wsgi' in {here}/mysite; it is in project: say --app-dir project"
    )
    del sys.modules["mysite"]
    monkeypatch.chdir(here / "src" / "store")
    assert told("store.wsgi:app").endswith("; it is in ..: say --app-dir ..")


def test_a_module_that_is_missing_in_the_named_folder(here: Path) -> None:
    src = str(here / "src")
    assert told("stor:app", src) == (
        f"No module named 'stor' in {src} and {here}, nor among what is installed; did you mean 'store'?; "
        "--app-dir DIR names another folder to look in"
    )
    assert told("store.wsg:app", src) == (
        f"No module named 'store.wsg' in {src}/store; did you mean 'store.wsgi'?"
    )
    assert told("store/wsgi.py:app", src) == (
        "there is no file 'store/wsgi.py'; did you mean src/store/wsgi.py?"
    )


def test_a_folder_that_is_none(here: Path) -> None:
    assert app_folder(None) == here
    assert app_folder("src") == here / "src"
    for name in ("nowhere", "shop.py"):
        with pytest.raises(UsageError, match=f"--app-dir: there is no directory '{name}'"):
            app_folder(name)


def test_a_module_is_run_with_the_current_folder_first_only_where_this_process_has_it_so(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first, option in (("", "-m"), (str(here), "-m"), (str(here / "bin"), "-Pm")):
        monkeypatch.setattr(sys, "path", [first, *sys.path])
        assert module_words("bridge") == [option, "bridge"]
