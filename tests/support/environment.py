"""What a machine's environment says to the programs that the tests start, and has no part in what they show."""

from collections.abc import MutableMapping

__all__ = ["forget_settings"]

# In lower case.
_NAMES = {
    # Of terminals, as services that run tests set them.
    *("clicolor", "clicolor_force", "columns", "force_color", "lines", "no_color", "python_colors"),
    *("tty_compatible", "tty_interactive"),
    # Proxies, which curl and others ask even for 127.0.0.1.
    *("all_proxy", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy", "ws_proxy", "wss_proxy"),
    # Of several servers.
    *("forwarded_allow_ips", "host", "port", "web_concurrency"),
    # Of frameworks and what is around them.
    *("django_settings_module", "prometheus_multiproc_dir"),
    # Of Python: others look elsewhere for modules, and write in other bytes than the tests read.
    *("pythonioencoding", "pythonsafepath"),
    # Servers are started by the hundred, and an installer may leave it to the first import to compile a package: with
    # this set, each of them would compile all that it imports, which takes it three times as long.
    "pythondontwritebytecode",
}
_PREFIXES = (
    *("bridge_", "fastmcp_", "flask_", "granian_", "gunicorn_", "otel_", "sentry_", "uvicorn_"),
    *("uwsgi_", "werkzeug_"),
)


def forget_settings(environ: MutableMapping[str, str]) -> None:
    """Take away the variables that set servers, frameworks, clients and terminals."""
    for name in list(environ):
        if name.lower() in _NAMES or name.lower().startswith(_PREFIXES):
            del environ[name]
