"""Trusted ways to get the results that tests compare those of pybrpc with."""
