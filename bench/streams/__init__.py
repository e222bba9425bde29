"""Streams of messages, measured: what a peer of them is, and how clients use them."""
