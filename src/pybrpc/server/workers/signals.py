"""Signals that call a function while a block runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def handling(functions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Inside the block each signal calls its function, which must not block; after it they do what
    they did before. In another thread than the main one nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {
        number: signal.signal(number, lambda *_, function=function: function())
        for number, function in functions.items()
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
