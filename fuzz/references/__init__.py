"""References: simple second implementations, with which the targets compare."""
