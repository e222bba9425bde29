"""Servers that get more requests than they can answer, with each kind of limiter: simulated, and
real ones."""
