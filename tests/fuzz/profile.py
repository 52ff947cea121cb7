"""How long the tests here look: the same examples each time in ``make test``, new ones in ``make fuzz``."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

__all__ = ["examples"]

_MANY = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def examples(few: int) -> Callable[[Any], Any]:
    """``few`` examples, which are always the same; as many as ``FUZZ_EXAMPLES`` says where that is set."""
    return settings(
        max_examples=_MANY or few,
        derandomize=not _MANY,
        database=None,
        deadline=None,
        print_blob=bool(_MANY),
        suppress_health_check=list(HealthCheck),
    )
