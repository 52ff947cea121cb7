"""A WSGI app on an ASGI server.

The way of a request, and the modules on it:

- on the loop: ``adapter`` maps the scope, ``collect`` gathers the body (``body``), ``response`` sends what the app
  makes (``sending``), ``watch`` knows whether the client is still there;
- on the worker's thread: ``call`` is one call of the app by PEP 3333, ``file`` its files;
- between the two: ``channel``, bounded, and aborted from either end.

``wires`` is what the adapter has for each loop that calls it; ``refusal`` and ``busy`` are the answers that the bridge
itself gives, and what the log says of them. ``websocket/`` gives a WSGI app its WebSockets.
"""
