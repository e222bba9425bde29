"""sample_until: the rate, the end, and the bound for what samples cost."""

from __future__ import annotations

import ctypes
import sys

import pytest

from pybrpc.builtin.profiling import sampling
from pybrpc.builtin.profiling.sampling import (
    MAX_PAUSE_S,
    MAX_SHARE,
    PERIOD_S,
    SHORT_INTERVAL_S,
    fine_timers,
    sample_until,
    wait_for_moment,
)


class Time:
    """Seconds pass by sleeping, and by samples that cost some."""

    def __init__(self, cost_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.worked_s = 0.0
        self.cost_s = cost_s
        self.samples = 0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def cost_clock(self) -> float:
        return self.worked_s

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    def take(self) -> None:
        self.samples += 1
        self.now_s += self.cost_s
        self.worked_s += self.cost_s

    def run(self, seconds: float, stop_after: int = 1_000_000) -> float:
        return sample_until(
            self.take,
            seconds,
            lambda: self.samples >= stop_after,
            clock=self.clock,
            sleep=self.sleep,
            cost_clock=self.cost_clock,
        )


def test_samples_are_taken_at_the_rate_for_the_time() -> None:
    time = Time()
    assert time.run(10.0) == pytest.approx(10.0)
    assert 900 <= time.samples <= 1100


def test_pauses_vary_around_the_period() -> None:
    time = Time()
    time.run(10.0)
    pauses = time.pauses[:-1]
    assert PERIOD_S * 0.5 <= min(pauses) < max(pauses) <= PERIOD_S * 1.5


def test_it_ends_when_it_is_over() -> None:
    time = Time()
    time.run(60.0, stop_after=5)
    assert time.samples == 5


def test_expensive_samples_are_fewer() -> None:
    time = Time(cost_s=0.01)
    time.run(10.0)
    assert time.worked_s <= 10.0 * MAX_SHARE + 0.02


def test_no_pause_is_long_however_expensive_samples_are() -> None:
    time = Time(cost_s=1.0)
    time.run(30.0)
    assert max(time.pauses) <= MAX_PAUSE_S


def test_an_exception_ends_it() -> None:
    def take() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        sample_until(take, 10.0, lambda: False)


def test_the_switch_interval_is_short_for_a_moment_only() -> None:
    before = sys.getswitchinterval()
    seen: list[float] = []
    wait_for_moment(lambda seconds: seen.append(sys.getswitchinterval()))
    assert seen == [pytest.approx(SHORT_INTERVAL_S)]
    assert sys.getswitchinterval() == before


def test_the_switch_interval_is_restored_after_any_exception() -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    before = sys.getswitchinterval()
    with pytest.raises(KeyboardInterrupt):
        wait_for_moment(sleep)
    assert sys.getswitchinterval() == before


def test_a_switch_interval_that_another_thread_sets_remains() -> None:
    before = sys.getswitchinterval()
    try:
        wait_for_moment(lambda seconds: sys.setswitchinterval(0.002))
        assert sys.getswitchinterval() == pytest.approx(0.002)
    finally:
        sys.setswitchinterval(before)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2)")
def test_timers_are_fine_in_the_block_only() -> None:
    def slack_ns() -> int:
        return ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)

    before = slack_ns()
    with fine_timers():
        assert slack_ns() == 1
    assert slack_ns() == before


def test_without_prctl_timers_are_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_prctl", lambda: None)
    with fine_timers():
        pass
