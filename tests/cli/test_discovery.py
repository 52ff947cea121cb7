"""Finding an app that nobody names, without importing anything."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.cli.discovery import discover
from bridge.cli.errors import UsageError

if TYPE_CHECKING:
    from bridge.kind import Kind


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"app.py": "app = 1"}, "app:app"),
        ({"main.py": "app: object = 1"}, "main:app"),
        ({"wsgi.py": "from shop import application"}, "wsgi:application"),
        ({"asgi.py": "import shop as application"}, "asgi:application"),
        ({"app.py": "def create_app(): ..."}, "app:create_app()"),
        ({"app.py": "def make_app(): ...\napp = make_app()"}, "app:app"),
        ({"app.py": "async def app(scope, receive, send): ..."}, "app:app"),
        ({"app.py": "try:\n    app = 1\nexcept ImportError:\n    app = 2"}, "app:app"),
        ({"app.py": "class app: ...", "main.py": "app = 1"}, "main:app"),
        ({"app.py": "def f():\n    app = 1", "main.py": "app = 1"}, "main:app"),
        ({"app.py": "not python", "wsgi.py": "application = 1"}, "wsgi:application"),
        ({"app.py": "app = 1", "main.py": "app = 1"}, "app:app"),
    ],
)
def test_files_of_the_field(tmp_path: Path, files: dict[str, str], found: str) -> None:
    for name, source in files.items():
        (tmp_path / name).write_text(source)
    assert discover(tmp_path, "asgi") == found


MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}")'


@pytest.mark.parametrize(
    ("settings", "modules", "interface", "found"),
    [
        ("shop.settings", ("shop/wsgi.py", "shop/asgi.py"), "asgi", "shop.asgi:application"),
        ("shop.settings", ("shop/wsgi.py", "shop/asgi.py"), "wsgi", "shop.wsgi:application"),
        ("shop.settings", ("shop/wsgi.py",), "asgi", "shop.wsgi:application"),
        ("shop.settings.local", ("shop/asgi.py",), "wsgi", "shop.asgi:application"),
    ],
)
def test_projects_of_django(
    tmp_path: Path, settings: str, modules: tuple[str, ...], interface: "Kind", found: str
) -> None:
    (tmp_path / "manage.py").write_text(MANAGE.format(settings))
    for module in modules:
        (tmp_path / module).parent.mkdir(exist_ok=True)
        (tmp_path / module).write_text("")
    assert discover(tmp_path, interface) == found


def test_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"there is no app to be found: say APP .*; --app-dir DIR names another folder"
    ):
        discover(tmp_path, "asgi")
    (tmp_path / "manage.py").write_text("")
    with pytest.raises(UsageError, match=r"manage\.py names no DJANGO_SETTINGS_MODULE"):
        discover(tmp_path, "asgi")
    (tmp_path / "manage.py").write_text(MANAGE.format("shop.settings"))
    with pytest.raises(UsageError, match=r"there is no wsgi.py and no asgi.py beside shop.settings"):
        discover(tmp_path, "asgi")
