"""Connections: sockets, their parts, the dispatchers that poll them, connecting and listening.

Imports protocols, iobuf, base and errors. It knows nothing of calls, channels and servers: a user
of a Socket passes it a `SocketUser`. Packages, from top to bottom: listening, socket; then
connecting, tls; then writing, with the SocketCore that all parts of a socket share; then dispatch.
`interfaces.py` has the interfaces of TLS and of protocols with a handshake.
"""
