"""Serves a WSGI app with Apache's mod_wsgi, as Debian packages the two, in mod_wsgi's daemon mode.

python -m tests.support.mod_wsgi module:attribute DIRECTORY HOST PORT

The Python is Debian's: mod_wsgi has it built in. It gets the packages of the tests' own environment, so the
two have to be of one version. ``missing()`` says why it can't be run here.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

__all__ = ["CONFIGURATION", "MODULES", "foreground", "missing", "version"]

MODULES = Path("/usr/lib/apache2/modules")
# Requests in one process at the same time.
THREADS = 8

CONFIGURATION = """\
ServerRoot "{directory}"
DefaultRuntimeDir "{directory}"
PidFile "{directory}/pid"
WSGISocketPrefix "{directory}/"
ErrorLog /dev/stderr
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
ServerName {host}
Listen {host}:{port}
# Takes effect where root starts it.
User www-data
Group www-data
# One process for connections is up sooner; the app does not run in it.
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
# It keeps a connection also after a response that broke off.
KeepAliveTimeout 1
# Else it is that of whichever python3 comes first on the PATH.
WSGIPythonHome /usr
WSGIDaemonProcess bridge processes=1 threads={threads} python-path="{packages}"
# The main interpreter: extension modules need not bear a second one.
WSGIScriptAlias / "{directory}/app.wsgi" process-group=bridge application-group=%{{GLOBAL}}
WSGIChunkedRequest On
<Location />
    Require all granted
</Location>
"""


def missing() -> str | None:
    """Why mod_wsgi can't be run here; None: it can."""
    apache = shutil.which("apache2")
    if apache is None or not (MODULES / "mod_wsgi.so").exists():
        return "Debian's packages apache2-bin and libapache2-mod-wsgi-py3 are not installed"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not (MODULES / f"mod_wsgi.so-{version}").exists():
        return f"the installed mod_wsgi is built for another Python than this, {version}"
    return None


def version() -> str:
    """Return mod_wsgi's version, by Debian's package.

    Raises:
        LookupError: it is not installed.
    """
    asked = ["dpkg-query", "--show", "--showformat", "${Version}", "libapache2-mod-wsgi-py3"]
    if shutil.which(asked[0]) is None:
        raise LookupError("this is not Debian, whose mod_wsgi it would be")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    # An epoch, the version, Debian's revision: 1:4.9.4-1+b2.
    found = re.fullmatch(r"(?:\d+:)?([\d.]+).*", done.stdout)
    if done.returncode or found is None:
        raise LookupError(f"Debian's package libapache2-mod-wsgi-py3 is not installed: {done.stderr.strip()}")
    return found[1]


def foreground(configuration: Path) -> list[str]:
    """The command line that runs Apache by this file."""
    command = ["apache2", "-D", "FOREGROUND", "-f", str(configuration)]
    if os.getuid() == 0:
        # Apache gives up root, and with it, but for this, the right to read a checkout that is in root's own
        # directory.
        command = ["setpriv", "--securebits", "+no_setuid_fixup", *command]
    return command


def main(app: str, parent: str, host: str, port: str) -> None:
    """Become Apache."""
    directory = Path(tempfile.mkdtemp(dir=parent, prefix="apache-"))
    module, _, attribute = app.partition(":")
    # Before the packages, among which may be a bridge of another checkout.
    (directory / "app.wsgi").write_text(
        f"import sys\nsys.path.insert(0, {str(Path.cwd())!r})\nfrom {module} import {attribute} as application\n"
    )
    configuration = directory / "httpd.conf"
    configuration.write_text(
        CONFIGURATION.format(
            directory=directory,
            modules=MODULES,
            host=host,
            port=port,
            threads=THREADS,
            packages=sysconfig.get_path("purelib"),
        )
    )
    command = foreground(configuration)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
