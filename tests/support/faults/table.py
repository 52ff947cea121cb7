"""All rows."""

from tests.support.faults.asgi import ASGI
from tests.support.faults.row import Fault
from tests.support.faults.security import SECURITY
from tests.support.faults.websocket import WEBSOCKET
from tests.support.faults.wsgi import WSGI

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = WSGI + ASGI + WEBSOCKET + SECURITY
