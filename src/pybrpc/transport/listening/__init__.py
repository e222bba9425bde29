"""Listening sockets and accepting. It makes Sockets, but may not know servers or protocols."""
