"""Signals that end a command: it still sets right what it has changed, such as the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command, beside Ctrl-C."""


def status_after(number: int) -> int:
    """The exit status after a signal, as shells have it."""
    return 128 + number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[Callable[[], None]]:
    """Signals of ENDING raise SystemExit with `status_after`; after the function that it gives was
    called, and after the first signal, they are ignored. See `_replaced` for those that are not.
    """
    with _replaced() as numbers:

        def ignore() -> None:
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)

        def end(number: int, _: FrameType | None) -> None:
            ignore()
            raise SystemExit(status_after(number))

        for number in numbers:
            signal.signal(number, end)
        yield ignore


@contextlib.contextmanager
def signals_to(function: Callable[[int], None]) -> Iterator[None]:
    """In an asyncio loop: signals of ENDING call `function` with their number. Such a signal does
    what it did before when it comes again. See `_replaced` for those that call nothing."""
    loop = asyncio.get_running_loop()
    with _replaced() as handlers:

        def call(number: int) -> None:
            loop.remove_signal_handler(number)
            signal.signal(number, handlers[number])
            function(number)

        for number in handlers:
            loop.add_signal_handler(number, call, number)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)


@contextlib.contextmanager
def _replaced() -> Iterator[dict[int, Any]]:
    """The handlers of ENDING, which are set again at the end. A signal that was ignored before, as
    with nohup, is left out; so are all in another thread than the main one."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING}
    before = {n: handler for n, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
