"""Load balancers: each picks one server of a list for an attempt of a call.

They do no I/O, take no lock in a pick, and get the time from their caller.
"""
