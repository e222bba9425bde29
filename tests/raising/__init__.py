"""Raises everything that can be raised, everywhere that user code is called, among other calls.

The exceptions are in `kinds`, the places where user code is called in the modules `*_hooks`, the
calls that are in flight meanwhile in `traffic`. `round` puts them together, `run` does so in a
process of its own.
"""
