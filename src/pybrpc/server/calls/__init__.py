"""One request from the frame to the response: which method it is for, parsing, the response batch.

It may not know threads, loops and listening sockets.
"""
