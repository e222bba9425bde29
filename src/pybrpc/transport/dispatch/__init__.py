"""Dispatchers: who polls descriptors, runs timers and posted functions, and in which thread.

The lowest package of transport: it knows descriptors and functions, but no sockets and no bytes.
"""
