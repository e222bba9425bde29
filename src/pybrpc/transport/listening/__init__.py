"""Listening sockets and accepting. It may not know what is done with an accepted connection."""
