"""One call from start to end, in all its forms: attempts, retries, backup requests, deadlines.

It asks a `ConnectionSource` for connections, and may not know which kind of source it is.
"""
