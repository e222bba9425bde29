from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import pytest

from pybrpc.transport.writing.outcomes import run_outcomes


def test_calls_each_in_order() -> None:
    called: list[int] = []
    run_outcomes([(called.append, 1), (called.append, 2), (called.append, 3)])
    assert called == [1, 2, 3]


def test_a_chain_of_100_000_does_not_recurse() -> None:
    depths: set[int] = set()
    left = 100_000

    def go_on(argument: object) -> None:
        nonlocal left
        left -= 1
        if left % 1000 == 0:
            depths.add(depth())
        if left:
            run_outcomes([(go_on, None)])

    run_outcomes([(go_on, None)])
    assert left == 0
    assert len(depths) == 1


def depth() -> int:
    frame: Any = sys._getframe()
    count = 0
    while frame is not None:
        count += 1
        frame = frame.f_back
    return count


def test_outcome_added_by_a_callback_runs_after_those_before_it() -> None:
    called: list[str] = []

    def outer(argument: object) -> None:
        run_outcomes([(called.append, "inner")])
        called.append("outer")

    run_outcomes([(outer, None), (called.append, "next")])
    assert called == ["outer", "next", "inner"]


def test_an_exception_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []

    def fail(argument: object) -> None:
        raise ValueError("a defect of the user")

    with caplog.at_level(logging.ERROR, "pybrpc"):
        run_outcomes([(fail, None), (called.append, 1), (fail, None), (called.append, 2)])
    assert called == [1, 2]
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == [
        "a defect of the user"
    ] * 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_reaches_the_caller_after_the_others_were_called(
    interruption: type[BaseException],
) -> None:
    called: list[int] = []

    def interrupt(argument: object) -> None:
        raise interruption

    with pytest.raises(interruption):
        run_outcomes([(interrupt, None), (called.append, 1)])
    assert called == [1]
    run_outcomes([(called.append, 2)])
    assert called == [1, 2]


def test_threads_do_not_wait_for_each_others_callbacks() -> None:
    is_inside, may_return = threading.Event(), threading.Event()

    def block(argument: object) -> None:
        is_inside.set()
        assert may_return.wait(30)

    thread = threading.Thread(target=run_outcomes, args=([(block, None)],))
    thread.start()
    assert is_inside.wait(30)
    called: list[int] = []
    run_outcomes([(called.append, 1)])
    assert called == [1]
    may_return.set()
    thread.join(30)
