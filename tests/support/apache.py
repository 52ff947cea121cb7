"""Apache as Debian packages it, by a configuration of a page, in a folder of its own."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.mod_wsgi import MODULES, foreground
from tests.support.servers import REPOSITORY, RunningServer, ServerKind

__all__ = ["apache"]

CONFIGURATION = """\
ServerRoot "{folder}"
DefaultRuntimeDir "{folder}"
PidFile "{folder}/pid"
ErrorLog /dev/stderr
ServerName shop.example
Listen 127.0.0.1:{port}
# Takes effect where root starts it.
User www-data
Group www-data
{modules}
{rest}
"""


@contextlib.contextmanager
def apache(folder: Path, port: int, modules: tuple[str, ...], rest: str) -> Iterator[RunningServer]:
    """Serve by ``rest``, with these modules beside the usual ones; at the end it is stopped."""
    loaded = "\n".join(
        f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in ("mpm_event", "authz_core", *modules)
    )
    path = folder / "httpd.conf"
    path.write_text(CONFIGURATION.format(folder=folder, port=port, modules=loaded, rest=rest))
    words, log_path = foreground(path), folder / "apache.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            words,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    kind = ServerKind("apache", "wsgi", tuple(words), tcp=())
    running = RunningServer(kind, "the page's configuration", "127.0.0.1", port, None, log_path, process)
    try:
        running.wait_until_accepting()
        yield running
    finally:
        running.stop()
