"""The project's benchmark: pybrpc, and what else one could call with, in one run: `make bench`."""
