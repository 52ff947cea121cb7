"""httpbin as its package gives it, behind bridge, with ``wsgiref.validate`` in between."""

from httpbin import app as httpbin_app

from bridge import WsgiToAsgi
from tests.support.validation import validated

app = WsgiToAsgi(validated(httpbin_app))
