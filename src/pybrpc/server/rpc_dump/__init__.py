"""Sampled requests in files, as rpc_dump of C++ bRPC writes them.

`rpc_dump` has the options, `dump_format` the bytes, and `dump_writer` writes them in a thread of
its own. It knows nothing of connections and handlers.
"""
