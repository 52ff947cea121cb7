"""What servers and libraries do otherwise than they should, and how a test deals with it.

A test asserts what is right, by ``hold()``. Where the table names a fault for the installed version, exactly that fault
is expected instead. So both changes are seen, each by a failing test that says which row to change, and how:

- the project has mended it: the row ends, by an upper bound in ``versions``, such as ``granian<2.8.9``;
- it has got worse, or fails in a new way: a new row, or another one's bounds.

Where a fault makes a test impossible, such as one that never ends, the test asks ``known()`` and does something else;
where it is one that hangs, ``patience()`` says for how long it looks.

    row               what a row says, and which versions are installed
    wsgi, asgi        the rows: WSGI servers; ASGI servers with HTTP
    websocket         the rows: WebSocket
    security          the rows: what should be refused
    table             all of them
    holding           hold(), known() and patience()

What two HTTP parsers make of odd requests stands in ``tests/integration/raw_differences*``, by the same rules.
"""

from tests.support.faults.holding import hold, known, patience
from tests.support.faults.row import Fault, installed, version_of
from tests.support.faults.table import FAULTS

__all__ = ["FAULTS", "Fault", "hold", "installed", "known", "patience", "version_of"]
