"""start_thread: starts a thread, or says at once that none can be started."""

from __future__ import annotations

import sys
import threading


def start_thread(thread: threading.Thread) -> None:
    """`thread.start()`. RuntimeError if there is no room for a thread, or while Python ends, as in
    destructors of globals: before Python 3.12 it would wait there for ever, as no other thread
    runs any more."""
    if sys.is_finalizing():
        raise RuntimeError("no thread can be started while Python ends")
    thread.start()
