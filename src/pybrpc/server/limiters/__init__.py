"""Limits of how many requests may run at once: fixed ones, and ones that learn.

It may not know calls, connections and servers: a limiter is asked with numbers, and told numbers.
"""
