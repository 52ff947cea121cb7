"""``bridge check``: does an app behave the same through the bridge? Asked of real servers, before the switch.

``command`` reads the command line (``parser``) and has the app run natively, through the bridge, and natively again:

- what is asked: ``requests`` (a built-in set, and the app's routes), ``routes`` (by its framework), ``look`` (the
  process that imports the app for them), ``recorded`` (files of the user's, and of browsers);
- a run: ``serving`` starts a server as a ``child`` (``start``) and sends the requests by ``exchange``; there ``served``
  is the app, ``target`` says how, ``probe_wsgi`` and ``probe_asgi`` are around it, hold it against ``rules``, and write
  down what they see by ``recorder``; ``watch`` looks at what is kept between requests, with ``source`` for who writes
  to it;
- what comes of it, data in and data out: ``compare`` says what differs in the answers, ``inside`` what was seen in the
  processes, ``costs`` what a request costs, ``judge`` what all that means, with ``notes`` beside it; ``findings`` has
  the sentences, ``report`` prints them, ``documents`` has them as JSON and as a page.

``model`` has the data that they hand to one another. Needs the extra ``check``: rich and h11.
"""
