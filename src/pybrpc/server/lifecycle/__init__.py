"""A server between start and stop: what its connections share, signals, the graceful stop."""
