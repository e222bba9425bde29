"""Balancers that give equal hash keys to the same server, and the hashes that they use."""
