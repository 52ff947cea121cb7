"""An ASGI app on a WSGI server.

The way of a request, and the modules on it:

- ``adapter`` maps the environ and picks the loop: one of the request's own, or the one that all requests share;
- ``request_body``: what the app receives; ``response``: what it sends, checked; ``client``: whether anybody is there;
- ``exchange``: the request, its response, and who waits for what, in both ways of running the app: ``own_loop`` with
  ``loop_run``, in the server's thread, and ``shared_loop``, in a thread of its own;
- ``app_call`` calls the app; ``app_errors``: what it raises, and where that goes;
- ``iterables``: what the server gets as the body; ``heads``: what it can be sent before there is one.

What lasts longer: ``runtime`` has an adapter's loops and the app's lifespan in one process; ``attempts`` and
``lifespan_loop`` start the lifespan, once; ``loop_hints`` is what the log says of an app that wants one lasting loop;
``stats`` what an adapter does at one moment.
``loops/`` has the event loops themselves.
"""
