"""Worker processes: `pybrpc serve`, the supervisor and its workers.

The top of the server: it uses `Server` from outside, as an application does.
"""
