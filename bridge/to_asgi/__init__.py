"""A WSGI app on an ASGI server.

``adapter`` is ``WsgiToAsgi``; ``service`` what its requests share, ``wires`` what those on one loop share. The way of a
request, and the modules on it:

- on the loop: ``request`` is the request itself, ``collect`` gathers its body (``body``), ``sending`` is how messages
  leave, ``watch`` knows whether the client is still there;
- on the worker's thread: ``call`` is one call of the app by PEP 3333, ``file`` and ``hints`` what it finds in its
  environ;
- between the two: ``channel``, bounded, and aborted from either end.

``refusal`` is the answers that the bridge itself gives; ``busy`` and ``lost`` what the log says: of busy threads, and
of errors that reach no server. ``stats`` is what an adapter does at one moment. ``websocket/`` gives a WSGI app its
WebSockets.
"""
