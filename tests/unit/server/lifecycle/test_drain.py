"""Drain: entries are removed, then the delay, then the log-off; on a clock of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.server.lifecycle import drain
from pybrpc.server.lifecycle.drain import DEFAULT_DRAIN_DELAY_S, DEREGISTER_S, Drain
from pybrpc.testing.step_dispatcher import StepDispatcher

WHERE = Endpoint("127.0.0.1", 8000)


class Entry:
    url = "etcd://127.0.0.1/svc"
    node = "127.0.0.1:8000"


class Entries:
    """The registrations of a server. They are removed when the test says `remove`."""

    def __init__(self, count: int, note: Callable[[str], None]) -> None:
        self.left = [Entry() for _ in range(count)]
        self.count = count
        self._note = note
        self._on_left: Callable[[], None] = lambda: None
        self.while_opening: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return self.count

    def open(self, where: Endpoint) -> None:
        self._note(f"open {where}")
        self.while_opening()

    def leave(self, on_left: Callable[[], None]) -> None:
        self._note("leave")
        self._on_left = on_left

    def late(self) -> list[Entry]:
        return self.left

    def remove(self) -> None:
        del self.left[0]
        self._on_left()

    def description(self) -> str:
        return ""


class Stage:
    """A drain, and all that it does, in order."""

    def __init__(self, entries: int = 0, delay_s: float | None = None, seed: int | None = None):
        self.events: list[str] = []
        self.dispatcher = StepDispatcher(seed)
        self.entries: Any = Entries(entries, self.events.append)
        self.drain = Drain(
            self.dispatcher,
            self.entries,
            delay_s,
            lambda grace_s: self.events.append(f"log off {grace_s}"),
        )

    def opened(self) -> Stage:
        self.drain.open(WHERE)
        self.events.clear()
        return self

    def pass_time(self, seconds: float) -> list[str]:
        """The events of that time."""
        self.dispatcher.run_until_idle()
        self.dispatcher.advance(seconds)
        return self.take()

    def take(self) -> list[str]:
        found, self.events[:] = list(self.events), []
        return found


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    def make(*arguments: Any, **options: Any) -> Stage:
        made = Stage(*arguments, **options)
        monkeypatch.setattr(drain, "time", made.dispatcher.clock)
        return made

    return make


Make = Callable[..., Stage]


def test_server_without_entries_logs_off_at_once_in_the_calling_thread(stage: Make) -> None:
    made = stage().opened()
    made.drain.stop(5.0)
    assert made.events == ["leave", "log off 5.0"]
    assert made.pass_time(100) == ["leave", "log off 5.0"]
    assert made.dispatcher.steps == 0


def test_entries_are_removed_then_the_delay_passes_then_it_logs_off(
    stage: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = stage(2, 4.0).opened()
    made.drain.stop(5.0)
    assert made.drain.has_begun
    assert not made.drain.is_ready
    assert made.pass_time(1.0) == ["leave"]
    made.entries.remove()
    assert made.pass_time(1.0) == []
    made.entries.remove()
    assert made.pass_time(3.9) == [], "the delay begins when the last one was removed"
    assert not made.drain.has_logged_off
    assert "requests are refused in 4.0 s" in caplog.text
    assert made.pass_time(0.2) == ["log off 5.0"]
    assert made.pass_time(100) == []


def test_entries_that_are_gone_already_are_not_waited_for(stage: Make) -> None:
    made = stage(1, 4.0).opened()
    made.entries.left.clear()
    made.drain.stop(5.0)
    assert made.pass_time(3.9) == ["leave"]
    assert made.pass_time(0.2) == ["log off 5.0"]


def test_naming_service_that_does_not_answer_is_waited_for_so_long_and_logged(
    stage: Make, caplog: pytest.LogCaptureFixture
) -> None:
    made = stage(1, 4.0).opened()
    made.drain.stop(None)
    assert made.pass_time(DEREGISTER_S - 0.1) == ["leave"]
    assert caplog.text == ""
    assert made.pass_time(0.2) == []
    assert "etcd://127.0.0.1/svc has not removed 127.0.0.1:8000 in time" in caplog.text
    made.entries.remove()
    assert made.pass_time(3.8) == [], "the late answer changes nothing"
    assert made.pass_time(0.2) == ["log off None"]


@pytest.mark.parametrize(
    ("entries", "given", "delay_s"),
    [(1, None, DEFAULT_DRAIN_DELAY_S), (0, 3.0, 3.0), (1, 3.0, 3.0)],
)
def test_delay_is_that_of_the_option_or_the_default(
    stage: Make, entries: int, given: float | None, delay_s: float
) -> None:
    made = stage(entries, given).opened()
    made.entries.left.clear()
    made.drain.stop(5.0)
    assert made.pass_time(delay_s - 0.1) == ["leave"]
    assert made.pass_time(0.2) == ["log off 5.0"]


def test_delay_of_0_logs_off_when_the_entries_are_removed(stage: Make) -> None:
    made = stage(1, 0.0).opened()
    made.drain.stop(5.0)
    assert made.pass_time(1.0) == ["leave"]
    made.entries.remove()
    assert made.pass_time(0.0) == ["log off 5.0"]


def test_grace_cuts_both_waits(stage: Make) -> None:
    made = stage(1, 60.0).opened()
    made.drain.stop(1.0)
    assert made.pass_time(0.9) == ["leave"]
    assert made.pass_time(0.2) == []
    assert made.pass_time(0.9) == [], "the delay"
    assert made.pass_time(0.2) == ["log off 1.0"]


@pytest.mark.parametrize("entries", [0, 1])
def test_stop_without_a_grace_logs_off_at_once(stage: Make, entries: int) -> None:
    made = stage(entries, 60.0).opened()
    made.drain.stop(0.0)
    assert made.drain.has_logged_off
    assert "log off 0.0" in made.events
    assert "leave" in made.pass_time(0)
    assert made.pass_time(100) == []


def test_second_stop_logs_off_at_once(stage: Make) -> None:
    made = stage(1, 60.0).opened()
    made.drain.stop(5.0)
    assert made.pass_time(1.0) == ["leave"]
    made.drain.stop(7.0)
    assert made.take() == ["log off 7.0"], "in the calling thread"
    assert made.pass_time(0.0) == ["log off 5.0"], "the shorter grace holds"
    made.entries.remove()
    assert made.pass_time(100) == []


def test_second_stop_before_the_first_one_has_done_anything(stage: Make) -> None:
    made = stage(1, 60.0).opened()
    made.drain.stop(5.0)
    made.drain.stop(0.0)
    assert made.take() == ["log off 0.0"]
    assert made.pass_time(100) == ["leave", "log off 5.0", "log off 0.0"]


def test_patient_stop_lets_another_one_drain(stage: Make) -> None:
    made = stage(1, 4.0).opened()
    made.drain.stop(None)
    made.entries.left.clear()
    assert made.pass_time(1.0) == ["leave"]
    made.drain.stop(5.0, is_patient=True)
    assert made.pass_time(2.9) == []
    assert made.pass_time(0.2) == ["log off 5.0"]
    made.drain.stop(2.0, is_patient=True)
    assert made.pass_time(0.0) == ["log off 2.0"], "and it shortens the grace"


def test_stop_that_was_interrupted_is_made_up_for_by_the_next_one(
    stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stage(1, 4.0).opened()
    with monkeypatch.context() as patch:
        patch.setattr(made.dispatcher, "post", _raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            made.drain.stop(5.0)
    made.drain.stop(5.0, is_patient=True)
    made.entries.left.clear()
    assert made.pass_time(3.9) == ["leave"]
    assert made.pass_time(0.2) == ["log off 5.0"]


def _raise_interrupt(function: object) -> None:
    raise KeyboardInterrupt


def test_server_that_does_not_serve_yet_logs_off_at_once(stage: Make) -> None:
    made = stage(1, 60.0)
    made.drain.stop(5.0)
    assert made.take() == ["log off 5.0"]
    assert made.pass_time(100) == ["leave", "log off 5.0"]


def test_stop_while_entries_are_made_removes_them(stage: Make) -> None:
    made = stage(1, 60.0)
    made.entries.while_opening = lambda: made.drain.stop(5.0)
    made.drain.open(WHERE)
    assert made.take() == [f"open {WHERE}", "leave"]
    assert made.pass_time(1) == ["leave"]


@pytest.mark.parametrize("entries", [0, 1])
def test_without_a_dispatcher_it_leaves_and_logs_off(stage: Make, entries: int) -> None:
    made = stage(entries, 60.0).opened()
    made.dispatcher.close()
    made.drain.stop(5.0)
    assert made.events == ["leave", "log off 5.0"]


def test_begin_that_raises_keeps_nothing_from_ending(
    stage: Make, caplog: pytest.LogCaptureFixture
) -> None:
    made = stage(1, 4.0).opened()
    made.drain._on_begin = _fail
    made.drain.stop(5.0)
    made.entries.left.clear()
    with caplog.at_level(logging.ERROR):
        assert made.pass_time(4.1) == ["leave", "log off 5.0"]
    assert "MemoryError" in caplog.text


def test_leaving_that_raises_keeps_nothing_from_ending(stage: Make) -> None:
    made = stage(1, 4.0).opened()
    made.entries.leave = _fail
    made.drain.stop(None)
    made.pass_time(DEREGISTER_S)
    assert made.pass_time(4.1) == ["log off None"]


def _fail(*arguments: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("seed", range(50))
def test_whatever_the_order_of_turns_it_leaves_once_and_logs_off(stage: Make, seed: int) -> None:
    made = stage(2, 4.0, seed=seed).opened()
    made.drain.stop(5.0)
    for _ in range(seed % 4):
        made.dispatcher.step()
    if seed % 2:
        made.drain.stop(3.0, is_patient=seed % 4 == 1)
    while made.entries.left:
        made.entries.remove()
    made.pass_time(0)
    assert "leave" not in made.pass_time(100)
    assert made.drain.has_logged_off
    assert made.pass_time(1000) == [], "no timer is left"


def test_repr_says_how_far_it_is(stage: Make) -> None:
    made = stage(1, 4.0).opened()
    assert repr(made.drain) == "<Drain not begun>"
    made.drain.stop(5.0)
    assert repr(made.drain) == "<Drain begun>"
    made.drain.stop(5.0)
    assert repr(made.drain) == "<Drain over>"


def test_begin_of_a_stop_is_told_once_before_anything_else(stage: Make) -> None:
    made = stage().opened()
    made.drain.notify_stop(lambda: made.events.append("told"))
    made.drain.stop(5.0)
    made.drain.stop(0.0)
    assert made.pass_time(100)[0] == "told"
    assert made.take().count("told") == 0


def test_stop_that_has_begun_is_told_at_once(stage: Make) -> None:
    made = stage(0, 4.0).opened()
    made.drain.stop(5.0)
    made.drain.notify_stop(lambda: made.events.append("told"))
    assert "told" in made.events


def test_function_that_raises_does_not_keep_the_stop(
    stage: Make, caplog: pytest.LogCaptureFixture
) -> None:
    made = stage().opened()
    made.drain.notify_stop(lambda: [][0])
    made.drain.stop(5.0)
    assert made.events == ["leave", "log off 5.0"]
    assert "IndexError" in caplog.text
