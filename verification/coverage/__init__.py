"""Each module of pybrpc, and how much of it its own tests run."""
