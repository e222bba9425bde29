"""One call from start to end, in all its forms: attempts, retries, backup requests, deadlines.

It gets connections from a `ConnectionSource`, and may not know which kind of source that is.
"""
