"""Peers: real servers and clients that tests talk to, some of which send what a test says."""
