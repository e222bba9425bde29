"""Loops and tasks as other threads see them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from pybrpc.builtin.profiling import loops
from pybrpc.builtin.profiling.loops import (
    ATTEMPTS,
    RunningTasks,
    frame_of_coroutine,
    known_loops,
    loops_in_frames,
    task_name,
    tasks_of,
)
from tests.fakes.profiles import thread_in
from tests.peers.loops import LOOPS


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_with_a_task_is_found_from_another_thread(kind: str) -> None:
    loop = LOOPS[kind]()
    started, end = threading.Event(), threading.Event()

    async def main() -> None:
        wait = asyncio.create_task(asyncio.sleep(3600), name="wait")
        started.set()
        while not end.is_set():
            await asyncio.sleep(0.001)
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)

    with thread_in(lambda: loop.run_until_complete(main())):
        assert started.wait(30)
        found, tasks = known_loops(), tasks_of(loop)
        end.set()
    loop.close()
    assert loop in found
    assert tasks is not None
    assert {"wait", main.__qualname__} == set(map(task_name, tasks))
    assert loop not in known_loops()


def test_a_loop_without_a_task_is_found_in_the_frames_of_its_thread() -> None:
    loop = asyncio.new_event_loop()
    started = threading.Event()
    loop.call_soon(started.set)
    with thread_in(loop.run_forever):
        assert started.wait(30)
        found = loops_in_frames()
        loop.call_soon_threadsafe(loop.stop)
    loop.close()
    assert loop in found


def test_the_running_task_is_known_by_the_frame_of_its_coroutine() -> None:
    running = RunningTasks()

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("<b>")
        frame = frame_of_coroutine(task.get_coro())
        assert frame is not None
        assert running.names()[frame] == "<b>"

    asyncio.run(main())
    assert running.names() == {}


def test_a_set_that_changes_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    def all_tasks(loop: object) -> set[object]:
        nonlocal attempts
        attempts += 1
        if attempts < ATTEMPTS:
            raise RuntimeError("Set changed size during iteration")
        return set()

    monkeypatch.setattr(asyncio, "all_tasks", all_tasks)
    loop = asyncio.new_event_loop()
    assert tasks_of(loop) == []
    attempts = -1000
    assert tasks_of(loop) is None
    assert attempts == -1000 + ATTEMPTS
    loop.close()


class Changing:
    """An iterable that changes each time."""

    def __iter__(self) -> Iterator[object]:
        raise RuntimeError("Set changed size during iteration")


def test_a_set_that_always_changes_has_no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.tasks, "_all_tasks", Changing(), raising=False)
    monkeypatch.setattr(asyncio.tasks, "_scheduled_tasks", Changing(), raising=False)
    assert loops._loops_of_tasks() == []


class Unreadable:
    """Raises whatever is asked."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_objects_of_the_user_may_raise_anything() -> None:
    assert frame_of_coroutine(Unreadable()) is None
    assert task_name(Unreadable()) == "Unreadable"
    assert loops._is_closed(Unreadable())  # type: ignore[arg-type]


def test_a_task_without_a_name_is_called_as_its_coroutine() -> None:
    async def work() -> None: ...

    async def main() -> tuple[str, str, str]:
        tasks = [
            asyncio.create_task(work()),
            asyncio.create_task(work(), name="Task-x"),
            asyncio.create_task(work(), name="n" * 1000),
        ]
        await asyncio.gather(*tasks)
        first, second, third = map(task_name, tasks)
        return first, second, third

    assert asyncio.run(main()) == (work.__qualname__, "Task-x", "n" * 200)
