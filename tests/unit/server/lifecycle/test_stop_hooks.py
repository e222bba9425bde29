"""StopHooks: the stop goes on once, whatever the functions for its begin and its end do."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pybrpc.server.lifecycle import stop_hooks
from pybrpc.server.lifecycle.hooks import LifecycleHooks
from pybrpc.server.lifecycle.stop_hooks import SHUTDOWN_S, STOPPING_S, StopHooks
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.threads import wait_until


class Stage:
    """The stop of a server that is bound to no loop."""

    def __init__(
        self,
        *functions: Callable[[], Any],
        stopping: Sequence[Callable[[], Any]] = (),
        is_prepared: bool = True,
    ) -> None:
        self.dispatcher = StepDispatcher()
        self.done = 0
        hooks = LifecycleHooks()
        hooks.on_shutdown += functions
        hooks.on_stopping += stopping
        self.hooks = StopHooks(
            hooks,
            contextvars.copy_context(),
            self.dispatcher,
            None,
            asyncio.new_event_loop,
            self._on_done,
        )
        if is_prepared:
            self.hooks.prepare()

    def _on_done(self) -> None:
        self.done += 1

    def begin(self, grace_s: float = 0.0) -> None:
        self.hooks.begin(self.dispatcher.clock.monotonic() + grace_s)

    def end(self, grace_s: float = 0.0) -> None:
        self.hooks.end(self.dispatcher.clock.monotonic() + grace_s)

    def is_done(self) -> bool:
        self.dispatcher.run_until_idle()
        return self.done > 0


def is_any_hook_running() -> bool:
    return any(thread.name == "pybrpc-server-hooks" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_hooks, "time", StepDispatcher().clock)


def test_last_function_is_called_first_and_the_end_comes_once() -> None:
    called: list[int] = []
    stage = Stage(lambda: called.append(1), lambda: called.append(2))
    stage.end()
    stage.end()
    wait_until(stage.is_done)
    stage.dispatcher.advance(SHUTDOWN_S + 1)
    assert (called, stage.done) == ([2, 1], 1)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_function_that_raises_keeps_no_other_from_being_called(error: type[BaseException]) -> None:
    called: list[int] = []

    def fail() -> None:
        raise error

    stage = Stage(lambda: called.append(1), fail)
    stage.end()
    wait_until(stage.is_done)
    assert called == [1]


def test_function_that_never_ends_is_given_up_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    over, called = threading.Event(), list[int]()
    stage = Stage(lambda: called.append(1), lambda: over.wait(30))
    stage.end(grace_s=2.0)
    stage.dispatcher.advance(2.0 + SHUTDOWN_S - 0.1)
    assert not stage.is_done()
    stage.dispatcher.advance(0.2)
    assert stage.is_done()
    assert "have not ended in time" in caplog.text
    over.set()
    wait_until(lambda: not is_any_hook_running())
    assert (called, stage.done) == ([], 1)


def test_limit_is_brought_forward_and_never_back() -> None:
    over = threading.Event()
    stage = Stage(lambda: over.wait(30))
    stage.end(grace_s=10.0)
    stage.end(grace_s=1.0)
    stage.end(grace_s=20.0)
    stage.dispatcher.advance(1.1 + SHUTDOWN_S)
    assert stage.is_done()
    over.set()


def test_server_ends_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    called: list[int] = []
    stage = Stage(lambda: called.append(1))
    monkeypatch.setattr(threading.Thread, "start", fail)
    stage.end()
    assert (stage.is_done(), called) == (True, [])


def test_end_without_functions_is_done_at_once() -> None:
    stage = Stage()
    stage.begin()
    stage.end()
    assert stage.done == 1


def test_end_waits_until_the_functions_of_the_begin_have_ended() -> None:
    called: list[str] = []
    go_on = threading.Event()

    def begin() -> None:
        go_on.wait(30)
        called.append("begin")

    stage = Stage(lambda: called.append("end"), stopping=[begin])
    stage.begin(grace_s=10)
    stage.end(grace_s=10)
    assert (stage.is_done(), called) == (False, [])
    go_on.set()
    wait_until(stage.is_done)
    assert called == ["begin", "end"]


def test_functions_of_the_begin_that_have_ended_delay_nothing() -> None:
    called: list[str] = []
    stage = Stage(stopping=[lambda: called.append("begin")])
    stage.begin(grace_s=10)
    wait_until(lambda: called == ["begin"] and not is_any_hook_running())
    stage.end(grace_s=10)
    assert stage.is_done()


def test_functions_of_the_begin_have_the_grace(caplog: pytest.LogCaptureFixture) -> None:
    over, called = threading.Event(), list[str]()
    functions = [lambda: over.wait(30), lambda: called.append("second")]
    stage = Stage(lambda: called.append("end"), stopping=functions)
    stage.begin(grace_s=2)
    stage.end(grace_s=2)
    stage.dispatcher.advance(1.9)
    assert not stage.is_done()
    stage.dispatcher.advance(0.2)
    wait_until(stage.is_done)
    over.set()
    wait_until(lambda: not is_any_hook_running())
    assert called == ["end"]
    assert "the functions for the beginning of the stop have not ended in time" in caplog.text


def test_functions_of_the_begin_have_some_time_without_a_grace() -> None:
    over = threading.Event()
    stage = Stage(stopping=[lambda: over.wait(30)])
    stage.begin()
    stage.end()
    stage.dispatcher.advance(STOPPING_S - 0.1)
    assert not stage.is_done()
    stage.dispatcher.advance(0.2)
    assert stage.is_done()
    over.set()


def test_grace_that_is_cut_ends_the_wait_for_functions_of_the_begin() -> None:
    over = threading.Event()
    stage = Stage(stopping=[lambda: over.wait(30)])
    stage.begin(grace_s=100)
    stage.dispatcher.advance(1)
    stage.end(grace_s=0)
    stage.dispatcher.advance(0.1)
    assert stage.is_done()
    over.set()


def test_no_function_is_called_of_a_server_that_did_not_start() -> None:
    called: list[str] = []
    functions = [lambda: called.append("begin")]
    stage = Stage(lambda: called.append("end"), stopping=functions, is_prepared=False)
    stage.begin()
    stage.end()
    assert (stage.done, called) == (1, [])
