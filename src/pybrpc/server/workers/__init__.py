"""Worker processes: `pybrpc serve`, the supervisor and its workers.

The top of the server: this package uses `Server` from outside, as an application does. It may not
know connections, calls and handlers.
"""
