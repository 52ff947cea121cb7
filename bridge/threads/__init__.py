"""Worker threads, and how a loop is woken from them.

- ``jobs``: what the threads run, and what the adapters need of those who have them.
- ``pool``: the threads of an adapter; ``executor_pool``: an executor of the user's in their place.
- ``mailbox``: waking a loop from a thread.
- ``waiting``: waiting on the loop for a future that others wait for too.
- ``tally``: counts of what happens rarely.
- ``fork``: what starts empty in a child made by ``fork()``.
"""
