"""Base: the lowest layer, with atomics, flags, deadlines, addresses and logs. Of pybrpc it imports
only `errors`."""
