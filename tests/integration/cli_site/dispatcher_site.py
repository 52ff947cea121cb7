"""A site of both kinds, for the tests of ``bridge serve``, which run in this directory."""

import fastapi_site
import flask_site

import bridge

app = bridge.Dispatcher({"/new": bridge.Mount(fastapi_site.app, fallback=True), "/": flask_site.app})
