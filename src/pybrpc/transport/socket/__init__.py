"""One connection: `Socket`, what it reads, how it closes.

It may not know listening and accepting, nor the meaning of messages.
"""
