"""What the tests share: real servers as subprocesses, a raw client, and a driver for ASGI apps in process.

    servers     a table of server -> command line; starts one, waits until it accepts, proves that it is gone
    gate        where an app waits until the test lets it go on
    raw         a socket client that sends any bytes and says how the response was framed, and if it was whole
    asgi        calls an ASGI app without a server, with events that the test scripts
    threads     which bridge threads are alive

The fixtures on top of them are in ``tests/conftest.py``.
"""
