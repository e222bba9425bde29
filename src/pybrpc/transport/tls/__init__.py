"""TLS as a ConnectionLayer, and its options for both sides. It may not know Socket or protocols."""
