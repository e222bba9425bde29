"""The write path: the queue, the write right, the backlog, outcomes.

It knows the dispatcher and the layer below it, and of the socket only its `SocketCore`. It may not
know how a connection is established or read.
"""
