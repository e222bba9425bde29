"""Where handlers run: worker threads, the handler loop, or in place. It may not know sockets."""
