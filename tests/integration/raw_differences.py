"""The differences that ``test_raw_requests`` knows of, each with its reason."""

from dataclasses import dataclass

__all__ = ["DIFFERENCES", "Difference"]

BOTH_BRIDGED = ("uvicorn", "granian")
BOTH_NATIVE = ("gunicorn", "waitress")


@dataclass(frozen=True, slots=True)
class Difference:
    """``requests`` differ in ``fields`` between every one of ``bridged`` and every one of ``native``."""

    reason: str
    requests: tuple[str, ...]
    fields: tuple[str, ...] = ("status",)
    bridged: tuple[str, ...] = BOTH_BRIDGED
    native: tuple[str, ...] = BOTH_NATIVE


DIFFERENCES: tuple[Difference, ...] = ()
