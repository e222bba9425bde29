"""One request from the frame to the response: its method, its parsing, the batch of its response.

It may not know threads, loops and listening sockets, nor the packages above it: a call knows its
connection by `interfaces.CallConnection`.
"""
