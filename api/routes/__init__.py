"""The routes, one module a resource or a kind of work on it; app.py lists their routers."""
