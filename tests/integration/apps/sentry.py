"""Sentry in an app of the tests: what it would send is kept."""

from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

__all__ = ["begin"]


def begin(events: list[dict[str, Any]]) -> None:
    """Have Sentry put its events into ``events``: each error, and the URL of its request."""

    class Recording(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            event: Any = envelope.get_event()
            if event is not None:
                events.append({"what": _error_of(event), "url": event.get("request", {}).get("url")})

    sentry_sdk.init(dsn="http://key@127.0.0.1/1", transport=Recording)


def _error_of(event: dict[str, Any]) -> str:
    values = event.get("exception", {}).get("values") or [{"value": event.get("logentry")}]
    return str(values[-1]["value"])
