"""What ``bridge.cli.served`` finds in a run of the check: ``bridge.check.served:app``. See ``bridge.check.target``."""

from .target import Checked

__all__ = ["app"]

app = Checked.from_environment().load()
