"""Serving with several processes: a Supervisor, which serves nothing, and its workers."""
