"""Servers of HTTP that answer the same requests, and the program wrk that sends them."""
