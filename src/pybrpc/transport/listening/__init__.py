"""Listening sockets and accepting. It may not know how an accepted connection is used."""
