"""Shutdown: it is done once, whatever the functions for the end do."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.server.lifecycle import shutdown
from pybrpc.server.lifecycle.shutdown import SHUTDOWN_S, Shutdown
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.threads import wait_until


class Stage:
    """The end of a server that is bound to no loop."""

    def __init__(self, *functions: Callable[[], Any]) -> None:
        self.dispatcher = StepDispatcher()
        self.done = 0
        self.shutdown = Shutdown(
            list(functions),
            contextvars.copy_context(),
            self.dispatcher,
            None,
            asyncio.new_event_loop,
            self._on_done,
        )

    def _on_done(self) -> None:
        self.done += 1

    def begin(self, grace_s: float = 0.0) -> None:
        self.shutdown.begin(self.dispatcher.clock.monotonic() + grace_s)

    def is_done(self) -> bool:
        self.dispatcher.run_until_idle()
        return self.done > 0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "time", StepDispatcher().clock)


def test_last_function_is_called_first_and_the_end_comes_once() -> None:
    called: list[int] = []
    stage = Stage(lambda: called.append(1), lambda: called.append(2))
    stage.begin()
    stage.begin()
    wait_until(stage.is_done)
    stage.dispatcher.advance(SHUTDOWN_S + 1)
    assert (called, stage.done) == ([2, 1], 1)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_function_that_raises_keeps_no_other_from_being_called(error: type[BaseException]) -> None:
    called: list[int] = []

    def fail() -> None:
        raise error

    stage = Stage(lambda: called.append(1), fail)
    stage.begin()
    wait_until(stage.is_done)
    assert called == [1]


def test_function_that_never_ends_is_given_up_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    over, called = threading.Event(), list[int]()
    stage = Stage(lambda: called.append(1), lambda: over.wait(30))
    stage.begin(grace_s=2.0)
    stage.dispatcher.advance(2.0 + SHUTDOWN_S - 0.1)
    assert not stage.is_done()
    stage.dispatcher.advance(0.2)
    assert stage.is_done()
    assert "have not ended in time" in caplog.text
    over.set()
    wait_until(lambda: not any(t.name == "pybrpc-server-shutdown" for t in threading.enumerate()))
    assert (called, stage.done) == ([], 1)


def test_limit_is_brought_forward_and_never_back() -> None:
    over = threading.Event()
    stage = Stage(lambda: over.wait(30))
    stage.begin(grace_s=10.0)
    stage.begin(grace_s=1.0)
    stage.begin(grace_s=20.0)
    stage.dispatcher.advance(1.1 + SHUTDOWN_S)
    assert stage.is_done()
    over.set()


def test_server_ends_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    called: list[int] = []
    stage = Stage(lambda: called.append(1))
    monkeypatch.setattr(threading.Thread, "start", fail)
    stage.begin()
    assert (stage.is_done(), called) == (True, [])
