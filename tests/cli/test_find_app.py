"""Finding apps by name."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from bridge.cli.find_app import AppNotFoundError, find_app


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, on the import path; what is imported in the test is forgotten after it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(directory: Path, path: str, source: str) -> Path:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(source))
    return file


SITE = """
    class Site:
        app = "the nested app"

    def create_app(name="no name", *, debug=False):
        return f"{name}, {debug}"

    def make_site():
        return Site

    async def create_later():
        return "too late"

    site = Site()
    app = "the app"
    """


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("found_site:app", "the app"),
        ("found_site", "the app"),
        ("found_site:", "the app"),
        ("found_site:site.app", "the nested app"),
        ("found_site:create_app()", "no name, False"),
        ("found_site:create_app('shop', debug=True)", "shop, True"),
        ("found_site:make_site().app", "the nested app"),
        ("found_site.py:app", "the app"),
        ("./found_site.py:site.app", "the nested app"),
        ("found_site.py", "the app"),
        ("{here}/found_site.py:app", "the app"),
        ("package.inside:app", "the neighbour's app"),
        ("package/inside.py:app", "the neighbour's app"),
        ("package/__init__.py:application", "the package's app"),
        ("package", "the package's app"),
    ],
)
def test_finds(modules: Path, spec: str, found: str) -> None:
    write(modules, "found_site.py", SITE)
    write(modules, "package/__init__.py", 'application = "the package\'s app"')
    write(modules, "package/inside.py", "from .neighbour import app")
    write(modules, "package/neighbour.py", 'app = "the neighbour\'s app"')
    assert find_app(spec.format(here=modules)) == found


def test_a_file_outside_of_the_import_path_is_found_with_its_package(modules: Path, tmp_path: Path) -> None:
    write(tmp_path, "far/away/pack/__init__.py", "")
    write(tmp_path, "far/away/pack/web.py", "from pack.other import app")
    write(tmp_path, "far/away/pack/other.py", "app = 'far away'")
    before = list(sys.path)
    try:
        assert find_app("far/away/pack/web.py") == "far away"
    finally:
        sys.path[:] = before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "no_such_module:app",
            "No module named 'no_such_module' in {here}, nor among what is installed; --app-dir DIR names another",
        ),
        ("package.no_such:app", "No module named 'package.no_such' in {here}/package"),
        ("found_site.app", "'found_site' is not a package; write found_site:app"),
        ("found_site.nothing", "'found_site' is not a package"),
        ("found_site:ap", "module 'found_site' has no attribute 'ap'; did you mean 'app'?"),
        ("found_site:site.wsgi", "'Site' object has no attribute 'wsgi'"),
        ("empty", "'empty' has neither 'app', 'application', 'create_app' nor 'make_app'; name it"),
        ("nowhere/site.py:app", "there is no file 'nowhere/site.py'"),
        ("./found_site:app", "there is no file './found_site'; did you mean ./found_site.py?"),
        ("./fuond_site.py:app", "there is no file './fuond_site.py'; did you mean found_site.py?"),
        ("found_site:create_later({[]: 1})", "'create_later({[]: 1})' is not a name"),
        ("found_site:create_later()", "'create_later' is a coroutine function"),
        ("found_site:app()", "'app' can't be called: it is an object of class 'str'"),
        ("found_site:create_app(app)", "is not a name, a dotted attribute or a call with literal arguments"),
        ("found_site:create_app(**{})", "is not a name, a dotted attribute or a call with literal arguments"),
        ("found_site:app + app", "is not a name, a dotted attribute or a call with literal arguments"),
        ("found_site:(", "is not a name, a dotted attribute or a call with literal arguments"),
        (":app", "':app' names no module; write module:app"),
        ("", "'' names no module; write module:app"),
        ("my site:app", "'my site' is neither the name of a module nor the path of a .py file"),
        ("json.py:app", "rename the file"),
    ],
)
def test_what_is_not_found_is_told_in_one_line(modules: Path, spec: str, message: str) -> None:
    write(modules, "found_site.py", SITE)
    write(modules, "package/__init__.py", "")
    write(modules, "empty.py", "")
    write(modules, "json.py", "app = None")
    with pytest.raises(AppNotFoundError) as caught:
        find_app(spec)
    assert message.replace("{here}", str(modules)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_dependency", ModuleNotFoundError),
        ("from found_site import no_such_name", ImportError),
        ("def f(:", SyntaxError),
        ("raise LookupError('x')", LookupError),
        ("raise SystemExit(3)", SystemExit),
        ("def app(): raise AttributeError('mine')", AttributeError),
        ("import broken_site.models", ModuleNotFoundError),
    ],
)
def test_the_errors_of_the_users_own_code_are_passed_on(
    modules: Path, source: str, error: type[BaseException]
) -> None:
    write(modules, "found_site.py", SITE)
    write(modules, "broken_site.py", source)
    with pytest.raises(error) as caught:
        find_app("broken_site:app()")
    assert not isinstance(caught.value, AppNotFoundError)


def test_a_module_of_the_package_that_the_package_itself_misses_is_an_error_of_its_own(modules: Path) -> None:
    """Not one of the name that was asked for: there is a line of the user's that is wrong."""
    write(modules, "broken_package/__init__.py", "import broken_package.wsgi")
    with pytest.raises(ModuleNotFoundError, match=r"broken_package\.wsgi") as caught:
        find_app("broken_package.wsgi:app")
    assert not isinstance(caught.value, AppNotFoundError)


def test_a_factory_of_a_usual_name_is_called(modules: Path) -> None:
    write(modules, "of_factory.py", "def make_app(): return 'made'\n")
    assert find_app("of_factory") == "made"
    write(modules, "of_both.py", "app = 'app'\ndef create_app(): return 'made'\n")
    assert find_app("of_both") == "app"
    assert find_app("of_both", factory=True) == "made"


def test_a_factory_that_is_named_is_called(modules: Path) -> None:
    write(
        modules,
        "factories.py",
        "def build(): return 'built'\ndef named(name): ...\nnumber = 3\nasync def later(): ...\n",
    )
    assert find_app("factories:build", factory=True) == "built"
    for spec, says in (
        ("factories:number", "'number' can't be called"),
        (
            "factories:named",
            r"named\(\) missing 1 required positional argument: 'name'; write them as in",
        ),
        ("factories:later", "'later' is a coroutine function"),
        ("factories", "has neither 'create_app' nor 'make_app'"),
    ):
        with pytest.raises(AppNotFoundError, match=says):
            find_app(spec, factory=True)
