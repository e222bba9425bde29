"""One connection: `Socket`, what it reads, how it closes.

It may not know who listens or accepts, nor what its messages mean.
"""
