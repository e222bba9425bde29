"""Two hosts of this machine, a wire between them that fails, and what calls make of it."""
