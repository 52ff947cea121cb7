"""Starts a child that outlives the server: what the harness has to find, end and report."""

import subprocess

from tests.integration.apps.plain import wsgi_app

__all__ = ["wsgi_app"]

child = subprocess.Popen(["sleep", "600"])
