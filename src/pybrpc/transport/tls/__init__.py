"""TLS: the layer that encrypts one connection, and the options that clients and servers give."""
