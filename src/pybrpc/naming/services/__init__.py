"""The naming services that pybrpc knows, one module for each kind."""
