"""The connections to one endpoint (single, pooled or short), its health, and the calls that wait.

It may not know channels.
"""
