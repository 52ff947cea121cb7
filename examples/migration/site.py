"""A shop that moves from Flask to FastAPI, a route at a time: two apps, one site, on an ASGI server and on a WSGI one.

Run it from the directory above, and open http://127.0.0.1:8000/:

    pip install '.[serve]' flask flask-sock fastapi
    uvicorn examples.migration.site:app

    curl http://127.0.0.1:8000/api/products
    curl --include http://127.0.0.1:8000/api/orders
    curl --upload-file docs/demo.png http://127.0.0.1:8000/api/products/huila/picture

The same site on a WSGI server, where all but the WebSocket works:

    gunicorn --worker-class gthread --threads 8 examples.migration.site:app

``shop`` is an ordinary Flask app and ``api`` an ordinary FastAPI app; neither knows of bridge. Whatever ``api`` answers
with 404 or 405 under ``/api`` goes to ``shop``, which has the old routes of that name. A route moves when it is written
in ``api``; when the last one has moved, ``fallback=True`` goes.
"""

from bridge import Dispatcher, Mount

from .api import api
from .shop import shop

app = Dispatcher({"/api": Mount(api, fallback=True), "/": shop})
