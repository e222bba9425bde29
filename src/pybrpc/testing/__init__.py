"""Tools to test pybrpc, and what is built on it. Nothing else imports this."""
