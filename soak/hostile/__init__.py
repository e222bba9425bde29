"""Peers that attack the servers of the soak beside its callers: they may fail, servers may not."""
