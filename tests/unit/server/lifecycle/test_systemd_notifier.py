"""SystemdNotifier: which states it tells, in which order, and when it shows no life."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.server.lifecycle import systemd_notifier
from pybrpc.server.lifecycle.drain import Drain
from pybrpc.server.lifecycle.registrations import Registrations
from pybrpc.server.lifecycle.systemd_notifier import RETRY_S, SystemdNotifier
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.peers.service_manager import NotifySocket

READY, STOPPING = "READY=1", "STOPPING=1"


class Stage:
    """A notifier, and what systemd hears of it."""

    def __init__(self, manager: NotifySocket) -> None:
        self.step = StepDispatcher()
        self.manager = manager
        self.loop: asyncio.AbstractEventLoop | None = None
        self.drain = Drain(self.step, Registrations(), 1.0, lambda grace_s: None)
        self.drain.open(Endpoint("127.0.0.1", 8000))
        self.notifier = SystemdNotifier(self.step, self.drain, "Serving\nREADY=1", self._loop)

    def _loop(self) -> asyncio.AbstractEventLoop | None:
        return self.loop

    def states(self) -> list[str]:
        self.step.run_until_idle()
        return self.manager.states()


@pytest.fixture
def stage(unix_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(unix_path))
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with NotifySocket(str(unix_path)) as manager:
        made = Stage(manager)
        monkeypatch.setattr("pybrpc.transport.dispatch.periodic.time", made.step.clock)
        yield made
        assert made.step.raised == []


def test_states_of_a_block(stage: Stage) -> None:
    with stage.notifier:
        assert stage.states() == [READY]
        assert "READY=1\nSTATUS=Serving\\nREADY=1" in stage.manager.received
    assert stage.states() == [READY, STOPPING]


def test_stop_is_told_at_its_beginning_once(stage: Stage) -> None:
    with stage.notifier:
        stage.drain.stop(30.0)
        assert stage.states() == [READY, STOPPING]
        assert not stage.drain.has_logged_off
        stage.drain.stop(0.0)
    assert stage.states() == [READY, STOPPING]


def test_stop_that_came_before_is_told(stage: Stage) -> None:
    stage.drain.stop(30.0)
    with stage.notifier:
        assert stage.states()[-1] == STOPPING


def test_restart_is_told_with_the_time(stage: Stage) -> None:
    with stage.notifier:
        stage.notifier.on_restart(True)
        stage.notifier.on_restart(False)
        assert stage.states() == [READY, "RELOADING=1", READY]
        (told,) = (text for text in stage.manager.received if text.startswith("RELOADING"))
        name, _, number = told.split("\n")[1].partition("=")
        assert name == "MONOTONIC_USEC"
        assert int(number) > 0
        stage.drain.stop(30.0)
        stage.notifier.on_restart(True)
        stage.notifier.on_restart(False)
        assert stage.states()[-1] == STOPPING


def test_state_is_sent_again_when_there_is_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = [False, False, True]
    sent: list[tuple[str, ...]] = []

    def notify(*lines: str) -> bool:
        if lines == ("WATCHDOG=1",):
            return True
        sent.append(lines)
        return rooms.pop(0)

    monkeypatch.setattr(systemd_notifier, "sd_notify", notify)
    with stage.notifier:
        stage.step.run_until_idle()
        for count in (2, 3, 3):
            stage.step.advance(RETRY_S)
            stage.step.run_until_idle()
            assert len(sent) == count
        assert len(set(sent)) == 1
        rooms.append(True)


def test_signs_of_life_come_twice_in_their_time(stage: Stage) -> None:
    with stage.notifier:
        for count in (1, 2, 3):
            stage.step.run_until_idle()
            assert stage.manager.count("WATCHDOG=1") == count
            stage.step.advance(5.0)
    stage.step.advance(50.0)
    stage.step.run_until_idle()
    assert stage.manager.count("WATCHDOG=1") == 4


def test_loop_that_is_blocked_shows_no_life(stage: Stage) -> None:
    stage.loop = asyncio.new_event_loop()
    try:
        with stage.notifier:
            stage.step.run_until_idle()
            assert stage.manager.count("WATCHDOG=1") == 0
            stage.loop.run_until_complete(asyncio.sleep(0))
            assert stage.manager.count("WATCHDOG=1") == 1
    finally:
        stage.loop.close()


def test_loop_that_is_closed_shows_no_life(stage: Stage) -> None:
    stage.loop = asyncio.new_event_loop()
    stage.loop.close()
    with stage.notifier:
        stage.step.run_until_idle()
        assert stage.manager.count("WATCHDOG=1") == 0


def test_nothing_happens_without_the_variable(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET")
    with stage.notifier:
        stage.drain.stop(30.0)
    assert stage.states() == []


def test_child_process_tells_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with stage.notifier:
        assert stage.states() == [READY]
        monkeypatch.setattr(stage.notifier, "_pid", 1)
    assert stage.states() == [READY]


def test_dispatcher_that_is_closed_does_not_hide_the_end(stage: Stage) -> None:
    with stage.notifier:
        stage.step.run_until_idle()
        stage.step.close()
    assert stage.manager.states() == [READY, STOPPING]
