"""Where handlers run: worker threads, the handler loop, or inline. It may not know sockets."""
