"""What the tests share: real servers as subprocesses, a raw client, and a driver for ASGI apps in process.

    servers       starts a server, waits until it accepts, and proves at the end that it is gone
    server_kinds  the table of servers and their command lines
    faults        what servers do otherwise than they should, and in which versions
    mod_wsgi      configures and runs one of them, Apache's
    apache        runs Apache by a configuration of a page
    gate          where an app waits until the test lets it go on
    raw           a socket client that sends any bytes and says how the response was framed, and if it was whole
    asgi          calls an ASGI app without a server, with events that the test scripts
    threads       which bridge threads are alive

The fixtures on top of them are in ``tests/conftest.py``.
"""
