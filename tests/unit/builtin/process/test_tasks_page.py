"""/tasks and /bthreads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pybrpc.builtin.process import tasks_page
from pybrpc.builtin.process.task_dump import LoopDump
from tests.fakes.profiles import HOSTILE, ask, text_of


def pages_with(name: str, *urls: str, html: bool = False) -> list[str]:
    """The pages while a task of that name waits, and is awaited by another one."""

    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    async def waits_for(task: Awaitable[None]) -> None:
        await task

    async def main() -> list[str]:
        first = asyncio.create_task(waits(), name=name)
        second = asyncio.create_task(waits_for(first), name="second")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = [text_of(ask(url.format(id=f"{id(first):x}"), html=html)) for url in urls]
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        return found

    return asyncio.run(main())


def test_tasks_are_listed_with_their_chains() -> None:
    tasks, bthreads = pages_with("refresh", "/tasks", "/bthreads")
    assert tasks == bthreads
    assert "loop 1 (_UnixSelectorEventLoop): 3 tasks" in tasks
    assert "waiting, waits for task refresh" in tasks
    assert "#0 pages_with.<locals>.waits at " in tasks


def test_one_task_is_found_by_its_id() -> None:
    (text,) = pages_with("refresh", "/tasks/{id}")
    assert "refresh [" in text
    assert "second" not in text


def test_a_task_links_to_the_one_it_waits_for() -> None:
    (html,) = pages_with("refresh", "/tasks", html=True)
    assert 'href="#task-' in html


def test_hostile_names_are_escaped() -> None:
    (html,) = pages_with(HOSTILE, "/tasks", html=True)
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    (text,) = pages_with("a\n\x1b[31mb", "/tasks")
    assert r"a\n\x1b[31mb [" in text


def test_without_a_loop_there_is_nothing_to_show() -> None:
    assert text_of(ask("/tasks")) == "no loop runs or has tasks\n"
    assert "No loop runs or has tasks." in text_of(ask("/tasks", html=True))


@pytest.mark.parametrize("number", ["0", "zz", HOSTILE])
def test_an_unknown_task_is_not_found(number: str) -> None:
    assert ask(f"/tasks/{number}").status == 404


@pytest.mark.parametrize(
    ("dump", "text"),
    [
        (LoopDump("loop 1", [], is_unreadable=True), "t be read now"),
        (LoopDump("loop 1", [], left_out=7), "7 tasks, of which 7 are not shown"),
    ],
)
def test_what_is_missing_is_said(
    dump: LoopDump, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Callable[[], list[LoopDump]] = lambda: [dump]  # noqa: E731
    monkeypatch.setattr(tasks_page, "loop_dumps", find)
    assert text in text_of(ask("/tasks"))
    assert text in text_of(ask("/tasks", html=True))
