"""What a server of the soak runs: ``SOAK_DIRECTION`` and ``SOAK_ADAPTER`` name a row of ``adapters.ADAPTERS``."""

import os

from .adapters import served

app = served(os.environ["SOAK_DIRECTION"], os.environ["SOAK_ADAPTER"])
