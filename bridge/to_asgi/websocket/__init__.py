"""WebSockets of a WSGI app.

``session`` is the loop's side, from the handshake to the last message, ``blocking`` the worker thread's side and what
the app is given, ``inbox`` the client's messages on their way to it, and ``relay`` the socket for libraries that speak
the protocol themselves.
"""
