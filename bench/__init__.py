"""Calls per second of pybrpc and of grpcio, beside each other, in one run: `make bench`."""
