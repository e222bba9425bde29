"""HTTP on the port of a server: requests to calls of methods, to pages and to mounted applications.

It may use the connections and calls of the server. It does not know how the server is started,
stopped or configured.
"""
