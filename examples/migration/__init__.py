"""A shop that moves from Flask to FastAPI, a route at a time, as one site on either kind of server: see ``site``."""
