"""Connections: Socket and its parts, the dispatchers that drive it, connecting and accepting.

Imports protocols, iobuf, base and errors. Knows nothing of calls, channels and servers: whoever
uses a Socket gives it a `SocketUser`.
"""
