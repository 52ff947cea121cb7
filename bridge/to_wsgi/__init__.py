"""An ASGI app on a WSGI server.

The way of a request: ``adapter`` maps the environ and picks the loop; ``own_loop`` or ``shared_loop`` runs the app on
it; both are built on ``exchange``, what the request and the app say to each other, with ``request_body`` as what the
app receives and ``iterables`` as what the server gets (``heads``: before there is a body).

``attempts`` and ``lifespan_loop`` start the app's lifespan, once; ``loop_hints`` is what the log says of an app that
wants one lasting loop. ``loops/`` has the event loops themselves.
"""
