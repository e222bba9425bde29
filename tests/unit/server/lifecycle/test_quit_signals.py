"""SIGINT and SIGTERM call a function while a block runs."""

from __future__ import annotations

import os
import signal
import threading

from pybrpc.server.lifecycle.signals import quit_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def test_function_gets_the_number_of_signals_which_are_restored() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    counts: list[int] = []
    with quit_signals(counts.append):
        for number in (*NUMBERS, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert counts == [1, 2, 3]
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_signals_do_nothing_in_another_thread() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found: list[object] = []

    def look() -> None:
        with quit_signals(lambda count: None):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]
