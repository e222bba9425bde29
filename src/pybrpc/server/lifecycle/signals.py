"""Ctrl-C and SIGTERM, turned into a call of a function while a block runs.

A process that is forked meanwhile has the handlers too. There a signal does what it did before the
block: nobody could end a child of `multiprocessing` with SIGTERM otherwise.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any


@contextlib.contextmanager
def quit_signals(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Inside the block SIGINT and SIGTERM call `on_signal`, which must not block, with the number
    of signals so far: 1 for the first.

    After the block the earlier handlers are set again. Only the main thread gets signals: in any
    other one nothing happens.
    """
    count = 0

    def handle() -> None:
        nonlocal count
        count += 1
        on_signal(count)

    with handling({signal.SIGINT: handle, signal.SIGTERM: handle}):
        yield


@contextlib.contextmanager
def handling(functions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Inside the block each signal calls its function, which must not block; after the block the
    earlier handlers are set again. In another thread than the main one nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pid = os.getpid()
    earlier: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == pid:
            functions[signal.Signals(number)]()
        else:
            signal.signal(number, earlier[number])
            os.kill(os.getpid(), number)

    for number in functions:
        handler = signal.getsignal(number)
        earlier[number] = signal.SIG_DFL if handler is None else handler
    for number in functions:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in functions:
            signal.signal(number, earlier[number])
