"""Streams beside the calls of the soak: each message is numbered, and each stream accounted for."""
