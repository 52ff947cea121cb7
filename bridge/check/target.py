"""What is served in a run of the check, handed to the server's process in an environment variable."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from ..cli.find_app import find_app
from ..cli.target import AppKind
from ..kind import Kind
from ..to_asgi.adapter import WsgiToAsgi
from ..to_wsgi.adapter import AsgiToWsgi

__all__ = ["Checked", "unwrapped"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The app, the side it is to be served on, and where the probe writes."""

    VARIABLE: ClassVar[str] = "BRIDGE_CHECK"

    app: str
    factory: bool
    app_dir: str
    kind: AppKind
    interface: Kind
    """Of the server."""
    loop: str | None
    port: int
    file: str
    token: str

    @classmethod
    def from_environment(cls) -> "Checked":
        if (value := os.environ.get(cls.VARIABLE)) is None:
            raise RuntimeError(f"{cls.VARIABLE} is not set: this module is for processes of 'bridge check'")
        return cls(**json.loads(value))

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` with this in it."""
        return {**base, self.VARIABLE: json.dumps(dataclasses.asdict(self))}

    def load(self) -> Any:
        """Return the app with a probe around it, and around that the adapter, where the server is of the other kind."""
        from .probe_asgi import probe_asgi
        from .probe_wsgi import probe_wsgi
        from .recorder import Recorder
        from .watch import Watch

        recorder = Recorder(self.file, self.token)
        recorder.watch_logs()
        watch = Watch(recorder, self.port, blocking=self.kind != "wsgi")
        app, adapter = unwrapped(find_app(self.app, factory=self.factory, app_dir=self.app_dir))
        watch.begin()
        inner = self.interface if self.kind == "both" else self.kind
        probed: Any = (
            probe_wsgi(cast("Any", app), recorder, watch.measure, watch.look)
            if inner == "wsgi"
            else probe_asgi(cast("Any", app), recorder, watch.measure, watch.look, watch.started)
        )
        if inner == self.interface:
            return probed
        if adapter is not None and self.loop is None:
            adapter.app = probed
            return adapter
        if self.interface == "asgi":
            return WsgiToAsgi(probed)
        return AsgiToWsgi(probed, loop=cast("Literal['request', 'shared'] | None", self.loop))


def unwrapped(app: object) -> "tuple[object, WsgiToAsgi | AsgiToWsgi | None]":
    """The app itself, and the adapter that the user has put around it, if so."""
    if isinstance(app, WsgiToAsgi | AsgiToWsgi):
        return app.app, app
    return app, None
