"""StreamTimers: the idle timeout and the lifetime."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import StreamResetError
from pybrpc.streams import core as core_module
from pybrpc.streams import receive_side
from pybrpc.streams import timers as timers_module
from pybrpc.streams.timers import StreamTimers
from tests.fakes.streams import StreamSide


@pytest.fixture
def clocked(side: StreamSide, monkeypatch: pytest.MonkeyPatch) -> StreamSide:
    """A side whose streams go by the clock of the steps."""
    monkeypatch.setattr(timers_module, "monotonic", side.step.clock.monotonic)
    monkeypatch.setattr(core_module, "monotonic", side.step.clock.monotonic)
    monkeypatch.setattr(receive_side, "monotonic", side.step.clock.monotonic)
    return side


class Idle:
    """A Consumer that counts the notices."""

    takes_messages = False

    def __init__(self) -> None:
        self.notices = 0
        self.overs = 0

    def begin(self) -> None:
        """Nothing begins."""

    def on_readable(self) -> None:
        """Nobody reads."""

    def on_over(self) -> None:
        self.overs += 1

    def on_idle(self) -> None:
        self.notices += 1


def nothing(*arguments: object) -> None:
    """A function for the options."""


def started(side: StreamSide, **options: Any) -> Any:
    core = side.open(**options)
    StreamTimers(core).start()
    return core


def test_idle_stream_is_reset(clocked: StreamSide) -> None:
    core = started(clocked, idle_timeout=2)
    clocked.step.advance(1.9)
    assert core.failure is None
    clocked.step.advance(0.1)
    assert isinstance(core.failure, StreamResetError)
    assert "nothing was received for 2 s" in core.failure.text
    clocked.check_idle()


def test_message_begins_the_time_anew(clocked: StreamSide) -> None:
    core = started(clocked, idle_timeout=2)
    clocked.step.advance(1.5)
    clocked.data(core, b"x")
    core.take()
    clocked.step.advance(1.5)
    assert core.failure is None
    clocked.step.advance(0.5)
    assert core.failure is not None


def test_stream_with_unread_messages_is_not_idle(clocked: StreamSide) -> None:
    core = started(clocked, idle_timeout=2)
    clocked.data(core, b"x")
    for _ in range(5):
        clocked.step.advance(2)
    assert core.failure is None
    core.take()
    clocked.step.advance(2)
    assert core.failure is not None


def test_notices_come_again_and_again(clocked: StreamSide) -> None:
    core = clocked.open(idle_timeout=2, on_idle_timeout=nothing)
    core.consumer = consumer = Idle()
    StreamTimers(core).start()
    for _ in range(4):
        clocked.step.advance(2)
    assert (consumer.notices, core.failure) == (4, None)
    core.reset()
    clocked.step.advance(20)
    assert (consumer.notices, consumer.overs) == (4, 1)


def test_lifetime_is_over_whatever_it_does(clocked: StreamSide) -> None:
    core = started(clocked, lifetime=5, idle_timeout=2)
    for _ in range(4):
        clocked.step.advance(1)
        clocked.data(core, b"x")
        core.take()
    assert core.failure is None
    clocked.step.advance(1)
    assert core.failure is not None
    assert "its lifetime of 5 s is over" in core.failure.text


def test_stream_that_is_over_has_no_timer(clocked: StreamSide) -> None:
    core = clocked.open(lifetime=5)
    core.reset()
    StreamTimers(core).start()
    assert clocked.step._timers == []


def test_closed_dispatcher_takes_no_timer(side: StreamSide) -> None:
    core = side.open(lifetime=5)
    core.reset()
    side.step.close()
    StreamTimers(core).start()
