"""What servers import: ``bridge.cli.served:app`` is the app that ``bridge serve`` was asked for.

See ``bridge.cli.target``.
"""

import signal

from bridge.cli.target import Target
from bridge.processes import declare

__all__ = ["app"]

_target = Target.from_environment()
if _target.sigterm_interrupts:
    # So that the server's loop ends as it does on Ctrl-C, and exit functions run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
if _target.workers is not None:
    declare(_target.workers > 1)

app = _target.load()
