"""What the user asked for."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from .address import Address

__all__ = ["Asked", "MountPoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """An app under a prefix, for ``Dispatcher``."""

    prefix: str
    app: str
    fallback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asked for, whichever way; None: not asked for. Each field is an option, but for the last two."""

    app: str | None = None
    mount: tuple[MountPoint, ...] = ()
    kind: Literal["wsgi", "asgi"] | None = None
    factory: bool | None = None
    app_dir: str | None = None
    env_file: str | None = None
    root_path: str | None = None
    server: str | None = None
    bind: Address | None = None
    host: str | None = None
    port: int | None = None
    uds: str | None = None
    fd: int | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    workers: int | None = None
    threads: int | None = None
    reload: bool | None = None
    log_level: str | None = None
    access_log: bool | None = None
    proxy_headers: bool | None = None
    forwarded_allow_ips: str | None = None
    adapter: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Parameters of the adapters, but for ``threads``, by the name of the option."""
    extra: tuple[str, ...] = ()
    """The server's own options, handed on as they are."""

    @property
    def address(self) -> Address:
        return self.bind or Address(host=self.host, port=self.port, uds=self.uds, fd=self.fd)
