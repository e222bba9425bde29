"""Channels, stubs and their options, which users hold. It may not know frames or sockets."""
