"""The command ``bridge``.

``main`` reads the command line, ``find_app`` finds the app by its name, ``servers`` knows each server and its own
command line. ``target`` is what is served, handed to the server's processes, which import it from ``served``;
``root_path`` puts it under a root path; ``wsgiref`` is the server of the standard library.
"""
