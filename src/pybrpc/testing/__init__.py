"""Tools to test pybrpc and programs that use it. No other package of pybrpc imports this."""
