"""The write path: the queue, the write right, the backlog, outcomes.

It knows the dispatcher and the layer below it, and of the Socket only what `SocketCore` says. It may
not know how a connection is made or read.
"""
