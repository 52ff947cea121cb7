"""Looking at the app before it is served, in a process of its own: what it is, and which routes it has.

``python -m bridge.check.look`` takes the ``Target`` of its environment, and writes a line of JSON to its standard
output, or says what is wrong and ends with status 2.
"""

import dataclasses
import json
import os
import sys
from typing import cast

from ..cli.loading import why_not
from ..cli.target import AppKind, Target, kind_of
from ..kind import Kind, check_kind
from .routes import allowed_host, routes_of
from .target import unwrapped

__all__ = ["main"]


def main() -> int:
    """Import the app, and write down what there is to know."""
    target = Target.from_environment()
    kind = target.kind
    answer = os.dup(1)
    os.dup2(2, 1)  # what the user's module prints must not end up in the answer
    try:
        app, adapter = unwrapped(target.find(target.app))
        if kind is not None:
            check_kind(app, cast("Kind", kind), f"--kind {kind}", "leave the option out")
        found: AppKind = kind or kind_of(app)
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - told to the user, whatever it is
        return _refuse(why_not(target.app, exc))
    try:
        routes = [dataclasses.asdict(route) for route in routes_of(app)]
    except Exception as exc:  # noqa: BLE001 - a framework that is unlike those known: the built-in requests remain
        print(f"bridge: the app's routes can't be read: {type(exc).__name__}: {exc}", file=sys.stderr)
        routes = []
    loop = getattr(adapter, "loop", None)
    line = json.dumps(
        {
            "kind": found,
            "routes": routes,
            "host": allowed_host(),
            "loop": loop,
            "wrapped": adapter is not None,
        }
    )
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        out.write(line)
    return 0


def _refuse(message: str) -> int:
    print(f"bridge: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
