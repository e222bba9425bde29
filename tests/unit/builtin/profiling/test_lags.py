"""Lags: what is counted, and loops that do not answer."""

from __future__ import annotations

import asyncio

import pytest

from pybrpc.builtin.profiling.lags import MAX_LOOPS, MAX_VALUES, LagMeter, LoopLags

MS = 1_000_000


def test_the_text_has_average_median_and_the_longest() -> None:
    meter = LagMeter("lag of x")
    for lag_ms in (1, 2, 3, 10):
        meter.add(lag_ms * MS)
    assert meter.text() == (
        "lag of x: 4 times, average 4.00 ms, median 2.00, 99 % 3.00, longest 10.00"
    )
    assert repr(meter) == f"<LagMeter {meter.text()}>"


def test_without_values_it_says_so() -> None:
    assert LagMeter("lag of x").text() == "lag of x: no answer"


def test_a_clock_that_is_early_is_no_negative_lag() -> None:
    meter = LagMeter("x")
    meter.add(-5)
    assert meter.values == [0]


def test_values_are_limited() -> None:
    meter = LagMeter("x")
    for _ in range(MAX_VALUES + 10):
        meter.add(1)
    assert (meter.count, len(meter.values)) == (MAX_VALUES + 10, MAX_VALUES)


class Time:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def run_ready(loop: asyncio.AbstractEventLoop) -> None:
    """Run what is ready now."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_loop_is_as_late_as_its_answer() -> None:
    loop, time = asyncio.new_event_loop(), Time()
    lags = LoopLags(lambda: [loop], time)
    lags.find_loops()
    lags.ask()
    time.now_ns = 7 * MS
    run_ready(loop)
    loop.close()
    (text,) = lags.texts()
    assert text == (
        "lag of loop 1 (_UnixSelectorEventLoop): 1 times, "
        "average 7.00 ms, median 7.00, 99 % 7.00, longest 7.00"
    )


def test_a_loop_is_not_asked_again_before_it_has_answered() -> None:
    loop, time = asyncio.new_event_loop(), Time()
    lags = LoopLags(lambda: [loop, loop], time)
    lags.find_loops()
    lags.find_loops()
    for _ in range(5):
        lags.ask()
    time.now_ns = 3 * MS
    (text,) = lags.texts()
    assert text.endswith("no answer; asked 3.00 ms ago")
    run_ready(loop)
    lags.ask()
    run_ready(loop)
    loop.close()
    assert "2 times" in lags.texts()[0]


def test_a_closed_loop_has_no_answer() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    lags = LoopLags(lambda: [loop])
    lags.find_loops()
    lags.ask()
    assert "no answer" in lags.texts()[0]


class Hostile(asyncio.AbstractEventLoop):
    def call_soon_threadsafe(self, *arguments: object, **named: object) -> asyncio.Handle:
        raise KeyboardInterrupt


def test_a_loop_of_the_user_may_raise_anything() -> None:
    lags = LoopLags(lambda: [Hostile()])
    lags.find_loops()
    lags.ask()
    assert "no answer" in lags.texts()[0]


@pytest.mark.parametrize("count", [1, MAX_LOOPS + 5])
def test_loops_are_limited(count: int) -> None:
    lags = LoopLags(lambda: [Hostile() for _ in range(count)])
    lags.find_loops()
    assert len(lags.texts()) == min(count, MAX_LOOPS)
