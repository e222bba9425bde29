"""Naming services: where the list of the servers of a cluster comes from, and its changes."""
