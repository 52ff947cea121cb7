"""The command line of ``bridge check``, and its help. What is said of the app is said as to ``bridge serve``."""

import argparse
from functools import partial

from ..cli.options import OPTIONS
from ..cli.parser import Parser, add_option
from ..cli.servers import SERVERS
from ..kind import Kind
from .recorded import wire_text

__all__ = ["ORDER", "check_parser"]

_HELP = """\
Run an app natively and through the bridge, on real servers on loopback, send
both the same requests, and say what differs.

APP says where the app is, as for bridge serve, and may be left out as there:
module:app, path/to/file.py:app. An adapter that the module has put around it
(WsgiToAsgi(app, threads=8)) is used with its options. What BRIDGE_* variables
and [tool.bridge.serve] say of the app holds here too, and --loop."""

_EPILOG = """\
examples:
  bridge check shop.wsgi:application
  bridge check api.main:app --native uvicorn --bridged waitress --loop shared
  bridge check shop:app --requests requests.txt --html report.html

exit status: 0 if nothing was found, 1 if something was, 2 if it couldn't run."""

#: The servers of each kind; without an option, the first that is installed.
ORDER: dict[Kind, tuple[str, ...]] = {
    "wsgi": ("gunicorn", "waitress", "wsgiref"),
    "asgi": ("uvicorn", "hypercorn", "granian", "daphne"),
}


def _servers() -> str:
    """The servers of each kind, for the help."""
    rows = [f"  for {kind.upper():<5} {', '.join(names)}\n" for kind, names in ORDER.items()]
    return f"servers (without the option, the first that is installed):\n{''.join(rows)}\n"


def check_parser() -> Parser:
    """Return the parser; what was not said of the app is not in its namespace."""
    parser = Parser(
        prog="bridge check",
        usage="bridge check [APP] [options]",
        description=_HELP,
        epilog=_servers() + _EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=23, width=80),
        allow_abbrev=False,
    )
    parser.add_argument("app", metavar="APP", nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    for name in ("kind", "factory", "app_dir", "env_file"):
        add_option(parser, OPTIONS[name], default=argparse.SUPPRESS)
    add = parser.add_argument
    add("--native", choices=tuple(SERVERS), metavar="SERVER", help="of the app's own kind; see below")
    add("--bridged", choices=tuple(SERVERS), metavar="SERVER", help="of the other kind; see below")
    loop = OPTIONS["loop"].choices
    add("--loop", choices=loop, default=argparse.SUPPRESS, help="loop= of AsgiToWsgi, for an ASGI app")
    add("--all-methods", action="store_true", help="ask the app's routes by POST, PUT, PATCH and DELETE too")
    add("--requests", metavar="FILE", help="requests of your own: a line each, as curl takes them")
    add("--har", metavar="FILE", help="requests that a browser has recorded (HAR), with their cookies")
    add("--json", action="store_true", help="print the report as JSON")
    add("--html", metavar="FILE", help="write the report as a page, too")
    add(
        "--host",
        metavar="NAME",
        type=wire_text,
        help="the Host header (default: one that the app answers to)",
    )
    return parser
