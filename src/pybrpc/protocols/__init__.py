"""The wire formats. Sans-I/O: nothing in here knows a socket, a thread or an event loop."""
