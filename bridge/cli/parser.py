"""The command line of ``bridge serve`` and its help, made of the tables of options and servers."""

import argparse
from functools import partial
from typing import Any, NoReturn

from .options import APP, GROUPS, OPTIONS, Option
from .servers import SERVERS

__all__ = ["Parser", "add_option", "serve_parser"]

_DESCRIPTION = """\
Serve a WSGI or an ASGI app on a server of either kind. bridge looks at the
app to tell its kind. Where the server is of the other kind, the app is
wrapped: in WsgiToAsgi for an ASGI server, in AsgiToWsgi for a WSGI server.

APP says where the app is:
  module:app             an attribute of a module, or deeper: module:site.app
  module:create_app()    what a factory returns; its arguments may be literals
  module                 its app, application, create_app() or make_app()
  path/to/file.py:app    a file in place of a module
  nothing                what of these is in app.py, main.py, wsgi.py or asgi.py
                         of the current directory, or the project of manage.py
Modules are found from the current directory, and from --app-dir.

--mount, given once for each app, serves several of either kind as one site. The
longest prefix that fits a path gets the request. An app with ",fallback" behind
it is passed over where it answers 404 or 405: the one with the next longest
prefix is asked. Apps that are given the same prefix are asked in turn, in the
same way."""

_SOURCES = """\
each option may also stand elsewhere; an earlier place wins over a later one:
  1. the command line                    --port 9000
  2. a variable                          BRIDGE_PORT=9000
  3. pyproject.toml, [tool.bridge.serve] port = 9000
  4. the server's own configuration      gunicorn.conf.py, UVICORN_PORT, ...
  5. the default
What is said in none of 1 to 3 is not passed on, so that 4 holds."""

_EXAMPLES = """\
examples:
  bridge serve shop.wsgi:application
  bridge serve "shop:create_app('production')" -w 4 -b 0.0.0.0:8000
  bridge serve api.main:app --server gunicorn --workers 4 --threads 8
  bridge serve api.main:app --server gunicorn --loop shared
  bridge serve site/app.py --reload -p 8080
  bridge serve --mount /api=new.main:app --mount /=old.app:app
  bridge serve --mount /api=new.main:app,fallback --mount /=old.app:app
  bridge serve --mount /=new.main:app --mount /=old.app:app
  bridge serve shop:app --root-path /shop --uds /run/shop.sock --proxy-headers
  bridge serve shop:app -- --limit-concurrency 100

Log lines of the bridge come from the logger "bridge", in the server's format.
SIGTERM and Ctrl-C end the server in its own way: running requests finish first,
except gunicorn's on Ctrl-C, and daphne's on either.
Exit status: the server's; 2, with one line that says why, if it can't start."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse prints the usage first."""
        self.exit(2, f"bridge: error: {message.removeprefix('argument ')} (see {self.prog} --help)\n")


def serve_parser() -> Parser:
    """Return the parser; what was not said is not in its namespace."""
    parser = Parser(
        prog="bridge serve",
        usage="bridge serve [APP] [options] [-- options of the server]\n"
        "       bridge serve --mount /PREFIX=APP [--mount ...] [options] [-- options]",
        description=_DESCRIPTION,
        epilog="\n\n".join((_servers(), _SOURCES, _EXAMPLES)),
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=30, width=80),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    for title in GROUPS:
        group = parser.add_argument_group(title)
        if title == APP:
            group.add_argument("app", metavar="APP", nargs="?", help="where it is, see above")
        for option in OPTIONS.values():
            if option.group == title:
                add_option(group, option)
    parser.add_argument_group("more").add_argument("-h", "--help", action="help", help="show this and end")
    return parser


def add_option(parser: Any, option: Option, **more: Any) -> None:
    """Add the option to a parser or a group of one; what ``add_argument`` takes ``more``."""
    names = [option.flag] if option.short is None else [option.short, option.flag]
    more |= {"dest": option.name, "help": option.help}
    match option.shape:
        case "switch":
            parser.add_argument(*names, action="store_true", **more)
        case "pair":
            parser.add_argument(*names, action=argparse.BooleanOptionalAction, **more)
        case _:
            how = "append" if option.shape == "list" else "store"
            # Choices are checked with the values from elsewhere; completion reads them here.
            added = parser.add_argument(*names, action=how, metavar=option.metavar, **more)
            added.bridge_choices = option.choices


def _servers() -> str:
    lines = ["servers, what each calls, and what it can do:"]
    for server in SERVERS.values():
        able = ["--workers"] if server.workers else []
        if server.reload != "no":
            able.append("--reload" if server.reload == "yes" else "--reload (one worker)")
        if server.threads or server.interface == "asgi":
            able.append("--threads" if server.threads else "--threads (WSGI apps)")
        what = ", ".join(able) or "one process, one request at a time"
        lines.append(f"  {server.name:<12} {server.interface.upper()}   {what}")
    return "\n".join(lines)
