"""Scope <-> environ, status, headers, paths: pure functions, used by both directions.

- ``environ``: an ASGI scope as a WSGI environ; ``scope``: a WSGI environ as an ASGI scope.
- ``headers``: a response's status and headers, from either interface to the other.
- ``prefixes``: which prefix a path is under, and what an app mounted there gets to see.
- ``tls``: the ASGI TLS extension and mod_ssl's ``SSL_*`` variables.
- ``chain``: an app below both adapters; ``hidden``: mappings that print nothing of their contents; ``learnt``: what
  is kept of names that clients and applications may make up.
"""
