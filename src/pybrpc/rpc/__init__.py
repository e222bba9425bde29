"""One call, as both sides see it: Controller, methods, bodies, timeouts.

Imports transport and below; client and server import it, and it imports neither.
"""
