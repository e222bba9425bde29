"""How a server gets into the lists of naming services, and out of them."""
