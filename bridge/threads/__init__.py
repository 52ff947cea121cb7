"""Worker threads, and how a loop is woken from them.

- ``pool``: the threads of an adapter; ``executor_pool``: an executor of the user's in their place.
- ``waiting``: waiting on the loop for a future that others wait for too.
"""
