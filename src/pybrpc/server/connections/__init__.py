"""One accepted connection, its end, and the sweeps that close idle ones and late messages.

It may not know Server, its options and worker processes. Connections know their server by
`server_core.ServerCore`.
"""
