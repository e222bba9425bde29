"""Sampler: its ticks, its thread, and what it survives. bRPC's tests of it, with a fake clock:
single_threaded and multi_threaded are test_each_is_sampled_once_a_tick and
test_threads_may_add_while_it_ticks; linked_list has no counterpart."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from typing import Any

import pytest

import pybrpc.metrics.sampler as module
from pybrpc.metrics import Adder, LatencyRecorder, PassiveStatus, Window
from pybrpc.metrics.sampler import Sampler, default_sampler, replace_default_sampler
from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.metrics import SteppedSampler
from tests.fakes.threads import wait_until


class Sampled:
    def __init__(self, raised: BaseException | None = None, wants_more: bool = True) -> None:
        self.times: list[float] = []
        self.raised = raised
        self.wants_more = wants_more

    def take_sample(self, now_s: float) -> bool:
        self.times.append(now_s)
        if self.raised is not None:
            raise self.raised
        return self.wants_more


def test_each_is_sampled_once_a_tick(sampler: SteppedSampler) -> None:
    sampled = [Sampled() for _ in range(100)]
    for each in sampled:
        sampler.add(each)
    sampler.pass_seconds(2)
    assert [each.times for each in sampled] == [[2.0, 3.0]] * 100
    assert sampler.ticks == 2


def test_one_that_is_gone_is_forgotten(sampler: SteppedSampler) -> None:
    sampled = Sampled()
    gone = weakref.ref(sampled)
    sampler.add(sampled)
    del sampled
    gc.collect()
    assert gone() is None
    sampler.pass_seconds()


def test_one_that_wants_no_more_is_asked_no_more(sampler: SteppedSampler) -> None:
    sampled = Sampled(wants_more=False)
    sampler.add(sampled)
    sampler.pass_seconds(3)
    assert sampled.times == [2.0]


@pytest.mark.parametrize("raised", [ValueError("a"), SystemExit(1), KeyboardInterrupt()])
def test_tick_goes_on_whatever_is_raised(
    sampler: SteppedSampler, raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Sampled(raised), Sampled()
    sampler.add(bad)
    sampler.add(good)
    with caplog.at_level(logging.WARNING, "pybrpc"):
        sampler.pass_seconds(2)
    assert len(bad.times) == len(good.times) == 2
    assert caplog.messages == ["sampling Sampled raised"]  # at most once a second


def test_threads_may_add_while_it_ticks() -> None:
    sampler = SteppedSampler()
    kept: list[Sampled] = []

    def add() -> None:
        for _ in range(200):
            sampled = Sampled()
            kept.append(sampled)
            sampler.add(sampled)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    sampler.pass_seconds(20)
    for thread in threads:
        thread.join()
    sampler.pass_seconds()
    assert len(kept) == 800
    assert all(each.times[-1] == sampler.fake_clock.now_s for each in kept)


class FastWaits:
    """`threading.Event` whose waits end at once, and let the time pass that was waited for."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.event = threading.Event()
        self.waited: list[float] = []
        self.most = 50

    def wait(self, timeout: float) -> bool:
        self.waited.append(timeout)
        self.clock.advance(timeout)
        return self.event.wait(0 if len(self.waited) < self.most else None)

    def set(self) -> None:
        self.event.set()


def fast_sampler(monkeypatch: pytest.MonkeyPatch) -> tuple[Sampler, FakeClock, FastWaits]:
    clock = FakeClock()
    sampler = Sampler(clock.monotonic)
    waits = FastWaits(clock)
    monkeypatch.setattr(sampler, "_wake", waits)
    return sampler, clock, waits


def test_thread_ticks_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, _, waits = fast_sampler(monkeypatch)
    sampled = Sampled()
    sampler.add(sampled)
    wait_until(lambda: len(waits.waited) == waits.most)
    assert sampler.stop()
    assert not sampler.is_running()
    assert sampled.times == [float(second) for second in range(2, 51)]


def test_long_tick_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, clock, waits = fast_sampler(monkeypatch)

    class Slow(Sampled):
        def take_sample(self, now_s: float) -> bool:
            if not self.times:
                clock.advance(5.5)
            return super().take_sample(now_s)

    slow = Slow()
    sampler.add(slow)
    wait_until(lambda: len(waits.waited) == waits.most)
    sampler.stop()
    assert slow.times[:4] == [2.0, 7.5, 8.5, 9.5]


def test_thread_is_a_daemon_that_starts_with_the_first_and_ends_with_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampler, _, waits = fast_sampler(monkeypatch)
    waits.most = 10**9
    assert not sampler.is_running()
    sampled: Any = Sampled(wants_more=False)
    sampler.add(sampled)
    wait_until(lambda: bool(sampled.times) and not sampler.is_running())
    again = Sampled()
    sampler.add(again)
    assert sampler.is_running()
    names = {thread.name: thread.daemon for thread in threading.enumerate()}
    assert names["pybrpc-sampler"]
    assert sampler.stop()
    sampler.add(Sampled())  # it has ended for good
    assert not sampler.is_running()


def test_first_windowed_variable_starts_the_thread() -> None:
    replace_default_sampler()
    adder = Adder("counts")
    PassiveStatus(lambda: 1, "computed")
    assert not default_sampler().is_running()
    window = Window(adder, 5)
    assert default_sampler().is_running()
    wait_until(lambda: default_sampler().ticks >= 1)
    assert window.get_value() == 0


def test_thread_survives_a_passive_status_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    sampler, ticks = Sampler(), Sampled()
    replace_default_sampler(sampler)

    def leave() -> int:
        raise SystemExit

    status = PassiveStatus(leave, "leaves")
    window = Window(status, 5)
    sampler.add(ticks)
    wait_until(lambda: bool(ticks.times))
    assert sampler.is_running()
    assert window.get_value() == 0
    assert "the function of leaves raised" in caplog.messages


def test_process_has_one_sampler_for_all_threads() -> None:
    replace_default_sampler()
    found: list[Sampler] = []
    threads = [threading.Thread(target=lambda: found.append(default_sampler())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    recorders = [LatencyRecorder() for _ in range(5)]
    assert sum(thread.name == "pybrpc-sampler" for thread in threading.enumerate()) == 1
    del recorders


def test_sampler_without_a_thread_to_be_had_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sampler = Sampler()
    sampled = [Sampled(), Sampled()]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        sampler.add(sampled[0])
    assert not sampler.is_running()
    assert caplog.messages == ["the sampler can't start its thread"]
    sampler.add(sampled[1])
    assert sampler.is_running()
    assert sampler.stop()


def test_stop_waits_no_longer_than_asked() -> None:
    go_on = threading.Event()

    class Blocks(Sampled):
        def take_sample(self, now_s: float) -> bool:
            super().take_sample(now_s)
            return go_on.wait()

    sampler, blocks = Sampler(), Blocks()
    sampler.add(blocks)
    wait_until(lambda: bool(blocks.times))
    assert not sampler.stop(0.01)
    go_on.set()
    assert sampler.stop()


def test_end_of_the_process_stops_it() -> None:
    replace_default_sampler()
    sampler = default_sampler()
    kept = Sampled()
    sampler.add(kept)
    module._stop_at_exit()
    assert not sampler.is_running()
