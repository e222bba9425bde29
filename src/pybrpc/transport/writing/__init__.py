"""The write path: the queue, the write right, the backlog, outcomes.

It knows the dispatcher, the layer below it, and only the `SocketCore` of a socket. It may not know
how a connection is established or read.
"""
