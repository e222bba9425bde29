"""A process that ends workers whose supervisor is gone, if they don't stop by themselves.

It may not know anything else of the workers.
"""
