"""``python -m bridge.check.start WORDS``: ``bridge serve`` for a run of the check, by these words alone.

What the variables ``BRIDGE_*`` and ``pyproject.toml`` say to ``bridge serve`` is for the server that the user will
start: its workers, its certificate, the options of its adapter.
"""

import sys

from ..cli.errors import UsageError
from ..cli.serve import read, serve

__all__: list[str] = []

if __name__ == "__main__":
    try:
        sys.exit(serve(read(sys.argv[1:])))
    except UsageError as exc:
        sys.exit(f"bridge: error: {exc}")
