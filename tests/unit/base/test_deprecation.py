"""Warnings about names that have changed point at the line that uses the old name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base import deprecation
from pybrpc.base.deprecation import warn_renamed
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher


def test_warning_is_at_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match="^old is now new$") as warned:
        warn_renamed("old", "new")
    assert warned[0].filename == __file__


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_warning_skips_frames_of_the_package(depth: int) -> None:
    inside: dict[str, Callable[[int], None]] = {"warn_renamed": warn_renamed}  # type: ignore[dict-item]
    source = "def call(n): call(n - 1) if n else warn_renamed('old', 'new')"
    exec(compile(source, deprecation.__file__, "exec"), inside)
    with pytest.warns(DeprecationWarning, match="^old is now new$") as warned:
        inside["call"](depth)
    assert warned[0].filename == __file__


def test_warning_without_an_outer_frame_is_at_the_outermost_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deprecation, "_PACKAGE", "")
    with pytest.warns(DeprecationWarning, match="^old is now new$"):
        warn_renamed("old", "new")


def epoll() -> EpollDispatcher:
    return EpollDispatcher()


@pytest.mark.parametrize("make", [epoll, StepDispatcher])
def test_old_names_of_methods_of_dispatchers_warn_and_work(make: Callable[[], Any]) -> None:
    dispatcher = make()
    ran = call_by_old_names(dispatcher)
    dispatcher.close()
    assert ran == [True]


def test_old_names_of_methods_of_an_asyncio_dispatcher_warn_and_work() -> None:
    async def scenario() -> None:
        ran = call_by_old_names(AsyncioDispatcher(asyncio.get_running_loop()))
        await asyncio.sleep(0.01)
        assert ran == [True]

    asyncio.run(scenario())


def call_by_old_names(dispatcher: Any) -> list[bool]:
    """Call each method by its old name; return a list that gets True from a posted function."""
    with pytest.warns(DeprecationWarning, match="attend is now require_polling") as warned:
        dispatcher.attend()
    assert warned[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="unattend is now release_polling"):
        dispatcher.unattend()
    with pytest.warns(DeprecationWarning, match="lend is now run_after_turn"):
        assert dispatcher.lend(None) is False
    ran: list[bool] = []
    with pytest.warns(DeprecationWarning, match="post_last is now post_cleanup"):
        dispatcher.post_last(lambda: ran.append(True))
    return ran
