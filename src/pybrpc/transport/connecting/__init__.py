"""From an address to an established connection: resolving, TCP, and the handshakes after it.

It may not know calls, nor messages.
"""
