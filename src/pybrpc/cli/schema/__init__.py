"""Services and messages that a command needs: from files, or from a server."""
