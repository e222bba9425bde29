"""Tools to test pybrpc, and what is built on it, without a network. Nothing else imports this."""
