"""HookCalls: each function is called once, where it belongs, and `on_done` once."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.server.lifecycle.hook_calls import HookCalls
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.threads import wait_until


class Stage:
    """Calls of `functions` for a server that is bound to `loop`."""

    def __init__(
        self, *functions: Callable[[], Any], loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.dispatcher = StepDispatcher()
        self.done = 0
        self.calls = HookCalls(
            self.dispatcher,
            loop,
            asyncio.new_event_loop,
            "the test",
            functions,
            contextvars.copy_context(),
            self._on_done,
        )

    def _on_done(self) -> None:
        self.done += 1

    def is_done(self) -> bool:
        self.dispatcher.run_until_idle()
        return self.done > 0

    def begin(self, time_s: float = 10.0) -> None:
        self.calls.begin(self.dispatcher.clock.monotonic() + time_s)


def test_functions_are_called_in_order_and_their_end_comes_once() -> None:
    called: list[int] = []
    stage = Stage(lambda: called.append(1), lambda: called.append(2))
    assert not stage.calls.is_done
    stage.begin()
    stage.begin()
    wait_until(stage.is_done)
    stage.dispatcher.advance(20)
    assert (called, stage.done, stage.calls.is_done) == ([1, 2], 1, True)


@pytest.mark.parametrize("kind", [ValueError, SystemExit, GeneratorExit])
def test_what_a_function_raises_is_logged_with_its_moment(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise kind("no")

    called: list[int] = []
    stage = Stage(fail, lambda: called.append(1))
    stage.begin()
    wait_until(stage.is_done)
    assert called == [1]
    assert "fail() for the test raised" in caplog.text


class Nameless:
    """A function whose name can't be asked for."""

    def __call__(self) -> None:
        raise ValueError("no")

    def __getattr__(self, name: str) -> Any:
        raise SystemExit


def test_function_without_a_name_keeps_no_other_from_being_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[int] = []
    stage = Stage(Nameless(), lambda: called.append(1))
    stage.begin(time_s=math.inf)
    wait_until(stage.is_done)
    assert called == [1]
    assert "Nameless() for the test raised" in caplog.text


class Unclear:
    """An object that can't be asked what it is."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise SystemExit


def test_object_of_no_class_is_as_an_error_of_its_function() -> None:
    called: list[int] = []

    async def main() -> None:
        stage = Stage(Unclear, lambda: called.append(1), loop=asyncio.get_running_loop())
        stage.begin()
        while not stage.is_done():
            await asyncio.sleep(0)

    asyncio.run(main())
    assert called == [1]


def test_functions_run_in_the_loop_of_the_server_if_that_runs() -> None:
    threads: list[threading.Thread] = []

    async def note() -> None:
        await asyncio.sleep(0)
        threads.append(threading.current_thread())

    async def main() -> None:
        stage = Stage(
            lambda: threads.append(threading.current_thread()),
            note,
            loop=asyncio.get_running_loop(),
        )
        stage.begin()
        while not stage.is_done():
            await asyncio.sleep(0)

    asyncio.run(main())
    assert threads == [threading.current_thread()] * 2


def test_function_that_cancels_all_tasks_of_the_loop_keeps_no_other_from_being_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[int] = []

    async def main() -> None:
        ours = asyncio.current_task()

        async def cancel_all() -> None:
            for task in asyncio.all_tasks() - {ours}:
                task.cancel()
            await asyncio.sleep(0)

        stage = Stage(
            cancel_all, lambda: called.append(1), cancel_all, loop=asyncio.get_running_loop()
        )
        stage.begin()
        while not stage.is_done():
            await asyncio.sleep(0)

    asyncio.run(main())
    assert called == [1]
    assert caplog.text.count("cancel_all() for the test raised") == 2


def test_async_function_is_not_run_when_the_loop_of_its_server_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def never() -> None:
        raise AssertionError

    loop = asyncio.new_event_loop()
    loop.close()
    called: list[int] = []
    stage = Stage(never, lambda: called.append(1), loop=loop)
    stage.begin()
    wait_until(stage.is_done)
    assert called == [1]
    assert "its loop does not run any more" in caplog.text


def test_no_function_is_called_when_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    called: list[int] = []
    stage = Stage(lambda: called.append(1))
    monkeypatch.setattr(threading.Thread, "start", fail)
    stage.begin()
    assert (stage.is_done(), called) == (True, [])
    assert "the functions for the test are not called" in caplog.text
