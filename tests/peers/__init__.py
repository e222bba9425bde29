"""Raw peers: servers that say exactly what a test tells them to, right or wrong."""
