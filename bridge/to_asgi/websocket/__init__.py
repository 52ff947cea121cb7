"""WebSockets of a WSGI app.

- On the loop: ``sockets`` is what an adapter has for all of them, ``handshake`` the environ of one. ``session`` sends
  what the app makes, ``listener`` takes what the client sends.
- On the app's thread: ``blocking`` is what the app is given.
- Between the two: ``inbox``, and the channel that responses go through as well.
- ``relay``: the socket for libraries that speak the protocol themselves. ``codes``: the close codes.
"""
