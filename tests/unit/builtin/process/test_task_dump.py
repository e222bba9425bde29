"""Tasks and what they await, read in another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from pybrpc.builtin.process import task_dump
from pybrpc.builtin.process.task_dump import MAX_CHAIN, LoopDump, TaskDump, await_chain, loop_dumps
from pybrpc.builtin.profiling.stacks import StackReader
from tests.fakes.profiles import thread_in
from tests.peers.loops import LOOPS


def dumps_while(
    make: Callable[[], Coroutine[Any, Any, object]],
    kind: str = "asyncio",
    read: Callable[[], list[LoopDump]] = loop_dumps,
) -> dict[str, TaskDump]:
    """The tasks, by name, of a loop in another thread, once `make()` waits as a task "seen"."""
    loop = LOOPS[kind]()
    waits = threading.Event()
    end = asyncio.Event()

    async def main() -> None:
        task = asyncio.create_task(make(), name="seen")
        for _ in range(10):
            await asyncio.sleep(0)
        waits.set()
        await end.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    found: list[LoopDump] = []
    with thread_in(lambda: loop.run_until_complete(main())):
        assert waits.wait(30)
        found = read()
        loop.call_soon_threadsafe(end.set)
    loop.close()
    return {task.name: task for dump in found for task in dump.tasks}


async def inner() -> None:
    await asyncio.get_running_loop().create_future()


async def middle() -> None:
    await inner()


async def outer() -> None:
    await middle()


@pytest.mark.parametrize("kind", LOOPS)
def test_the_chain_of_awaits_is_followed(kind: str) -> None:
    task = dumps_while(outer, kind)["seen"]
    assert [frame.function for frame in task.chain] == ["outer", "middle", "inner"]
    assert (task.state, task.waits_for, task.awaited_task) == ("waiting", "Future", 0)


def test_a_task_that_waits_for_another_names_it() -> None:
    async def waits() -> None:
        await asyncio.create_task(inner(), name="other")

    async def both() -> None:
        child = asyncio.create_task(waits(), name="waits")
        try:
            await asyncio.shield(child)
        finally:
            child.cancel()

    tasks = dumps_while(both)
    assert tasks["waits"].waits_for == "task other"
    assert tasks["waits"].awaited_task == tasks["other"].number


def test_the_task_that_runs_is_running() -> None:
    async def main() -> list[LoopDump]:
        return loop_dumps()

    (dump,) = asyncio.run(main())
    (task,) = dump.tasks
    assert (task.state, task.waits_for) == ("running", "")
    assert dump.name == "loop 1 (_UnixSelectorEventLoop)"


def test_tasks_are_limited() -> None:
    async def many() -> None:
        async with asyncio.TaskGroup() as group:
            for index in range(20):
                group.create_task(inner(), name=f"t{index}")

    found: list[LoopDump] = []

    def read() -> list[LoopDump]:
        found.extend(loop_dumps(limit=5))
        return found

    assert len(dumps_while(many, read=read)) == 5
    assert [dump.left_out for dump in found] == [22 - 5]


def test_frames_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_dump, "MAX_SHOWN_FRAMES", 1)
    assert len(dumps_while(outer)) == 1


def test_a_loop_whose_tasks_change_too_fast_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_dump, "tasks_of", lambda loop: None)
    found: list[LoopDump] = []

    def read() -> list[LoopDump]:
        found.extend(loop_dumps())
        return found

    assert dumps_while(outer, read=read) == {}
    assert [dump.is_unreadable for dump in found] == [True]


class Awaitable:
    """Awaits itself, as a compiled coroutine would."""

    def __init__(self) -> None:
        self.__qualname__ = "own"

    @property
    def cr_await(self) -> object:
        return self


class Hostile:
    """Raises whatever is asked."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_a_circle_of_awaits_ends() -> None:
    chain, end = await_chain(Awaitable(), StackReader())
    assert (len(chain), end) == (MAX_CHAIN, "")


def test_an_object_of_the_user_that_raises_ends_the_chain() -> None:
    assert await_chain(Hostile(), StackReader()) == ((), "Hostile")


def test_generators_are_part_of_a_chain() -> None:
    def deeper() -> Generator[int, None, None]:
        yield 1

    def delegates() -> Generator[int, None, None]:
        yield from deeper()

    generator = delegates()
    next(generator)
    chain, end = await_chain(generator, StackReader())
    assert [frame.function.rpartition(".")[2] for frame in chain] == ["delegates", "deeper"]
    assert end == ""


class ForeignTask:
    """A task of another library, known to asyncio."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.raises: BaseException | None = None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop

    def done(self) -> bool:
        if self.raises is not None:
            raise self.raises
        return False


def test_a_task_of_another_library_is_shown_and_may_raise_anything() -> None:
    async def main() -> tuple[list[LoopDump], list[LoopDump]]:
        task = ForeignTask(asyncio.get_running_loop())
        asyncio._register_task(task)  # type: ignore[arg-type]
        try:
            shown = loop_dumps()
            task.raises = KeyboardInterrupt()
            return shown, loop_dumps()
        finally:
            asyncio._unregister_task(task)  # type: ignore[arg-type]

    (shown,), (unreadable,) = asyncio.run(main())
    states = {task.name: task.state for task in shown.tasks}
    assert states["ForeignTask"] == "unknown"
    assert unreadable.is_unreadable
