"""What users hold: channels, stubs and their options. It may not know frames or sockets."""
