"""Fuzzing: bytes that nobody would send, for everything that reads bytes of others."""
