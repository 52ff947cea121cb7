"""What a probe has written down, for the tests of probes."""

import json
from pathlib import Path
from typing import Any

from bridge.check.probe_asgi import probe_asgi
from bridge.check.probe_wsgi import probe_wsgi
from bridge.check.recorder import Recorder
from bridge.types import ASGIApp, WSGIApp

__all__ = ["Written"]


class Written:
    """A recorder, and what it has written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.recorder = Recorder(str(path), "token")
        self.measured: list[str] = []
        self.looks = 0

    def look(self) -> None:
        self.looks += 1

    def wsgi(self, app: WSGIApp) -> WSGIApp:
        return probe_wsgi(app, self.recorder, self.measured.append, self.look)

    def asgi(self, app: ASGIApp) -> ASGIApp:
        return probe_asgi(app, self.recorder, self.measured.append, self.look, lambda state, tasks: None)

    def events(self, at: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [event for event in events if event["at"] == at]

    def end(self) -> dict[str, Any]:
        (event,) = self.events("end")
        return event
