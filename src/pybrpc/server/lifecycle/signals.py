"""Ctrl-C and SIGTERM, turned into a call of a function while a block runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType


@contextlib.contextmanager
def quit_signals(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Inside the block SIGINT and SIGTERM call `on_signal`, which must not block, with the number
    of signals so far: 1 for the first.

    After the block the earlier handlers are set again. Only the main thread gets signals: in any
    other one nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        on_signal(count)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def handling(functions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Inside the block each signal calls its function, which must not block; after the block the
    earlier handlers are set again. In another thread than the main one nothing happens.
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
