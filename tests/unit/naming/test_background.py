"""Background threads: pauses, wake-ups, errors, the end of a process, forked children."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pybrpc.naming import NamingUrl, background, watch
from pybrpc.naming.background import FOREVER, Background
from pybrpc.naming.shared_naming import SharedNaming
from tests.fakes.naming import FakeNaming, fake_scheme
from tests.peers.http_stand_in import eventually
from tests.peers.naming_watchers import RecordingWatcher


class Steps:
    """Counts the steps, and returns the pauses that it was given; `None` then."""

    def __init__(self, *pauses: Any) -> None:
        self.pauses = list(pauses)
        self.count = 0

    def __call__(self) -> float | None:
        self.count += 1
        pause = self.pauses.pop(0) if self.pauses else None
        if isinstance(pause, BaseException):
            raise pause
        return pause


def started(steps: Steps) -> Background:
    made = Background(steps, "pybrpc-test", lambda: None)
    made.start()
    return made


def test_step_is_repeated_until_it_returns_none() -> None:
    steps = Steps(0.0, 0.001, 0.0)
    assert started(steps).join(20)
    assert steps.count == 4


def test_pause_ends_when_it_is_woken() -> None:
    steps = Steps(FOREVER, 3600.0)
    made = started(steps)
    eventually(lambda: steps.count == 1)
    made.wake()
    made.wake()
    eventually(lambda: steps.count == 2)
    assert made.is_running
    assert not made.join(0.01)
    made.wake()
    assert made.join(20)
    assert not made.is_running


def test_step_that_raises_is_repeated(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(SystemExit("bad"))
    made = started(steps)
    eventually(lambda: steps.count == 1)
    made.wake()
    assert made.join(20)
    assert steps.count == 2
    assert "the thread pybrpc-test raised" in caplog.text


def test_start_of_one_that_runs_does_nothing() -> None:
    steps = Steps(FOREVER)
    made = started(steps)
    made.start()
    assert sum(thread.name == "pybrpc-test" for thread in threading.enumerate()) == 1
    made.wake()
    assert made.join(20)


def test_one_that_was_never_started() -> None:
    made = Background(Steps(), "pybrpc-test", lambda: None)
    assert made.join(0)
    made.wake()
    assert not made.is_running


def test_thread_of_a_start_that_was_overtaken_ends_at_once() -> None:
    """A signal handler that comes into `start` may start another thread."""
    steps = Steps()
    made = Background(steps, "pybrpc-test", lambda: None)
    made._thread = threading.current_thread()
    thread = threading.Thread(target=made._run)
    thread.start()
    thread.join()
    assert steps.count == 0


def test_end_of_the_process_ends_all_but_does_not_wait_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "STOP_S", 0.05)

    def raising() -> None:
        raise KeyError("x")

    steps, hangs = Steps(FOREVER), threading.Event()
    first = Background(steps, "pybrpc-test", raising)

    def hang() -> None:
        hangs.wait(20)

    second = Background(hang, "pybrpc-test", lambda: None)
    first.start()
    second.start()
    began = time.monotonic()
    with fake_scheme() as scheme:
        watching = watch(scheme.url, RecordingWatcher())
        eventually(lambda: scheme.service.fetches == 1)
        background._stop_at_exit()
        assert time.monotonic() - began < 15
        eventually(lambda: scheme.service.closes == 1)
        watching.close()
    assert second.is_running
    assert "the end of a naming service raised" in caplog.text
    first.wake()
    hangs.set()
    assert first.join(20)
    assert second.join(20)


def test_forked_child_starts_again_with_the_last_list() -> None:
    """Here in this process, with a service that has no thread yet, as none has in a child."""

    class Watching:
        delivered = renewed = 0

        def deliver(self) -> None:
            self.delivered += 1

        def renew_in_child(self) -> None:
            self.renewed += 1

    made: list[FakeNaming] = []

    def make() -> FakeNaming:
        made.append(FakeNaming(url))
        return made[-1]

    url = NamingUrl("fake", "x")
    shared = SharedNaming(url, make, lambda shared: True)
    shared._keeper.on_answer((), 1.0)
    before = shared.state
    watching = Watching()
    shared.watches[watching] = True
    shared.renew_in_child()
    assert (shared.state, len(made), watching.renewed) == (before, 2, 1)
    made[1].give(["a:1"])
    eventually(lambda: watching.delivered == 1)
    assert [str(server) for server in shared.state.servers or ()] == ["a:1"]
    shared.leave(watching)
    eventually(lambda: made[1].closes == 1)
    assert repr(shared) == "<SharedNaming fake://x, 0 watches>"
