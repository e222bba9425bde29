"""Signals that end a command, and what they did before."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.cli.ending import ENDING, ended_by_signals, signals_to

pytestmark = pytest.mark.same_everywhere

every_signal = pytest.mark.parametrize("number", ENDING)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The handlers at the end are those of the start."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    found = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert found == before


@every_signal
def test_signal_ends_the_block_and_further_ones_are_ignored(number: int) -> None:
    seen: list[str] = []

    def block() -> None:
        with ended_by_signals():
            try:
                os.kill(os.getpid(), number)
                seen.append("went on")
            finally:
                os.kill(os.getpid(), number)
                seen.append("cleaned up")

    with pytest.raises(SystemExit) as caught:
        block()
    assert caught.value.code == 128 + number
    assert seen == ["cleaned up"]


@every_signal
def test_signal_after_the_end_was_announced_is_ignored(number: int) -> None:
    with ended_by_signals() as ignore:
        ignore()
        os.kill(os.getpid(), number)


def run_with(function: Callable[[int], None], number: int) -> None:
    """Send the signal to this process in a loop, and wait until it was handled."""

    async def block() -> None:
        with signals_to(function):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.01)

    asyncio.run(block())


@every_signal
def test_signal_is_handled_in_a_turn_of_the_loop(number: int) -> None:
    seen: list[Any] = []

    def note(got: int) -> None:
        seen.append((got, asyncio.get_running_loop()))

    async def block() -> None:
        with signals_to(note):
            os.kill(os.getpid(), number)
            while not seen:
                await asyncio.sleep(0)
            assert seen == [(number, asyncio.get_running_loop())]
            assert signal.getsignal(number) == before

    before = signal.getsignal(number)
    asyncio.run(block())


@every_signal
def test_signal_that_was_ignored_stays_so(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), number)
        seen: list[int] = []
        run_with(seen.append, number)
        assert seen == []
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_other_threads_replace_nothing() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    found: list[Any] = []

    async def in_loop() -> None:
        with signals_to(found.append):
            found.append([signal.getsignal(number) for number in ENDING])

    def look() -> None:
        with ended_by_signals():
            found.append([signal.getsignal(number) for number in ENDING])
        asyncio.run(in_loop())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before, before]
