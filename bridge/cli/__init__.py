"""The command ``bridge``.

Before the server: ``main`` hands the words on to a command. ``serve`` reads what is asked for (``sources``, by the
table ``options``, with ``parser``, ``address`` and ``discovery``, into an ``Asked``), refuses what can't be
(``servers``, ``unused``, ``unknown``, ``certificate``), and becomes the server by its own command line (``commands``).
``completion`` is for shells.

In the server's processes: ``served``, or for gunicorn ``gunicorn``, is what the server imports. ``loading`` gets the
app that the ``target`` names (``find_app``, in the ``folders``), once; ``root_path`` and ``proxy`` stand around it, and
``meaning`` says what it is. ``wsgiref`` is the server of the standard library.
"""
