"""``apps/echo`` behind bridge, a module of its own: the native side does not even import the adapter."""

from bridge import WsgiToAsgi
from tests.integration.apps import echo
from tests.support.validation import validated

app = WsgiToAsgi(validated(echo.app))
