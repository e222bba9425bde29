"""Circuit breakers and their like: which servers are left out for a while, and when one is tried.

They do no I/O, and get the time from their caller.
"""
