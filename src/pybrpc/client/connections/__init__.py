"""One client connection: the attempts that wait on it, its credential, how it is made.

It may not know to which endpoint or pool it belongs; its ConnectionOwner is notified of its events.
"""
