"""Fakes: small replacements for parts of pybrpc, which a test controls.

Real sockets, servers and clients that a test talks to are in tests/peers; what stops threads at
chosen places is in tests/schedules.
"""
