"""ThreadShortage: failing starts are tried with growing pauses, and logged once a second."""

from __future__ import annotations

import itertools
import threading
from typing import Any, cast

import pytest

from pybrpc.base import limited_log
from pybrpc.server.running import thread_shortage
from pybrpc.server.running.thread_shortage import LASTS_AFTER_S, LONGEST_PAUSE_S, ThreadShortage
from pybrpc.testing.step_dispatcher import FakeClock

pytestmark = pytest.mark.python_only


class FakeThread:
    name = "test"

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.tries = 0

    def start(self) -> None:
        self.tries += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(thread_shortage, "time", clock)
    monkeypatch.setattr(limited_log, "time", clock)
    return clock


def try_start(shortage: ThreadShortage, thread: FakeThread) -> bool:
    return shortage.try_start(cast(threading.Thread, thread))


def test_pauses_between_tries_grow(clock: FakeClock) -> None:
    shortage, thread = ThreadShortage(), FakeThread(RuntimeError("can't start new thread"))
    tried_at: list[float] = []
    for _ in range(5000):
        before = thread.tries
        assert not try_start(shortage, thread)
        if thread.tries > before:
            tried_at.append(clock.now_s)
        clock.advance(0.001)
    gaps = [later - sooner for sooner, later in itertools.pairwise(tried_at)]
    assert all(longer > gap - 0.0015 for gap, longer in itertools.pairwise(gaps))
    assert gaps[-1] == pytest.approx(LONGEST_PAUSE_S, abs=0.002)
    assert thread.tries < 20


def test_warnings_come_once_a_second(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    shortage, thread = ThreadShortage(), FakeThread(MemoryError())
    for _ in range(3000):
        try_start(shortage, thread)
        clock.advance(0.001)
    assert 1 <= len(caplog.records) <= 4
    assert "can't start a thread for handlers" in caplog.text


def test_shortage_lasts_until_a_thread_starts(clock: FakeClock) -> None:
    shortage, failing, good = ThreadShortage(), FakeThread(OSError("no")), FakeThread()
    assert not shortage.lasts()
    try_start(shortage, failing)
    assert (shortage.lasts(), repr(shortage)) == (False, "<ThreadShortage now>")
    clock.advance(LASTS_AFTER_S)
    assert shortage.lasts()
    assert try_start(shortage, good)
    assert (shortage.lasts(), repr(shortage)) == (False, "<ThreadShortage none>")
    try_start(shortage, failing)
    clock.advance(0.001)
    assert try_start(shortage, good), "the pauses begin anew"


def test_interrupt_is_raised(clock: FakeClock) -> None:
    with pytest.raises(KeyboardInterrupt):
        try_start(ThreadShortage(), FakeThread(KeyboardInterrupt()))


def test_thread_that_can_be_started_runs() -> None:
    ran = threading.Event()
    thread: Any = threading.Thread(target=ran.set)
    assert ThreadShortage().try_start(thread)
    thread.join()
    assert ran.is_set()
