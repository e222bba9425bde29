"""One client connection: which attempts wait on it, the credential, how it is made.

It may not know which endpoint state or pool it belongs to; its owner is told through an interface.
"""
