"""The event loops that ASGI apps run on.

``mode`` says which of them, where nobody does. ``kept`` are loops that serve one request at a time and are kept for the
next, ``threads`` the threads that stay with such a loop, ``loops`` their pool, and the one loop that all requests of
a process share. ``asyncio_names`` lists the private names of asyncio that they lean on; ``greenlets`` knows processes
in which greenlets have taken the place of threads.
"""
