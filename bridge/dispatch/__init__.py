"""Several apps of either kind as one.

``dispatcher`` looks a request up and hands it on, ``mounts`` checks what it is given, ``lifespans`` runs those of the
apps as one. ``fallback_asgi`` and ``fallback_wsgi`` ask the next app where the first one answers 404, by the rules of
``handing_on``; ``tape`` keeps the request's body for it.
"""
