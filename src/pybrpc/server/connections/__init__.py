"""One accepted connection, and the sweeps that close idle ones and stop incomplete messages.

It may not know Server, its options and worker processes.
"""
