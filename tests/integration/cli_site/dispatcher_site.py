"""A site of both kinds, for the tests of ``bridge serve``, which run in this directory."""

from importlib import import_module

import bridge

# By name: in the tests' own import path the two are somewhere else.
new, old = import_module("fastapi_site").app, import_module("flask_site").app

app = bridge.Dispatcher({"/new": bridge.Mount(new, fallback=True), "/": old})
