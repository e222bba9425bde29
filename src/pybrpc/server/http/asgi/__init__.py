"""Applications of ASGI 3 that a server mounts: http, websocket, lifespan.

https://asgi.readthedocs.io/en/latest/specs/. They run in the loop of async handlers. Nothing here
knows routes, methods or pages.
"""
