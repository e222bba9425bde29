"""A server between start and stop: what its connections share, signals, the graceful stop.

It may not know Server, nor worker processes, which use a running server from above.
"""
