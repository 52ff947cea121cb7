"""The soak: random apps and random clients on real servers, which are ended, killed and starved meanwhile.

    make soak SEED=7 REQUESTS=4000 SERVER=granian

``scenarios`` draws what is played from a seed: what the app does and what the client does. The app is one, as WSGI
(``app_wsgi``) and as ASGI (``app_asgi``): its instructions are in the request, and ``counts`` knows what it has opened
and closed. ``adapters`` has the ways to serve it, and ``served`` is what the servers import.

``servers`` are the rows that are played on, ``chaos`` is what is done to them. ``play`` has the clients' threads, on
``http1``, ``http2`` and ``websocket``; ``target`` is what they and the chaos share. ``model`` says what each answer
must be, and ``heads`` which headers are the app's, and which a server's. ``checks`` looks at what the server's process
has left, and ``logs`` at its log.

``run`` is one life of a server, with all of that. ``shrink`` makes one that failed smaller; ``peers`` are other
adapters to compare with; ``report`` writes figures and tables. ``python -m tests.soak --help`` has the options.
"""
