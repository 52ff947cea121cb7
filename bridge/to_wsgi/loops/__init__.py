"""The event loops that ASGI apps run on.

- ``mode``: which kind of loop, where nobody says.
- ``pool``: the loops that serve one request at a time. ``kept`` makes and closes them, ``request_loop`` is asyncio's
  own, ``other_loop`` any other; ``threads`` has the threads that stay with one.
- ``shared``: the one loop that serves all requests of a process.
- ``exit_and_fork``: what becomes of loops at the interpreter's exit and in a forked child.
- ``asyncio_names``: the private names of asyncio that the bridge uses; ``greenlets``: processes in which greenlets have
  taken the place of threads.
"""
