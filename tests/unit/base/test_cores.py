"""Cores of a process: named, shared out, bound and given back, thread by thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.base import cores
from pybrpc.base.cores import (
    bind_threads,
    check_bindable,
    checked_cores,
    parse_cores,
    restore_threads,
    share_of,
)

linux = pytest.mark.skipif(not cores.can_bind(), reason="binding needs Linux")


class Waiting:
    """A thread that waits, and starts another one when it is told to."""

    def __init__(self) -> None:
        self._go, self._end = threading.Event(), threading.Event()
        self._has_child = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.child = threading.Thread(target=self._end.wait)
        self.thread.start()

    def start_child(self) -> threading.Thread:
        self._go.set()
        self._has_child.wait()
        return self.child

    def _run(self) -> None:
        self._go.wait()
        if not self._end.is_set():
            self.child.start()
            self._has_child.set()
            self._end.wait()

    def close(self) -> None:
        self._end.set()
        self._go.set()
        self.thread.join()
        if self.child.ident is not None:
            self.child.join()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    made = Waiting()
    yield made
    made.close()


def cores_of(thread: threading.Thread) -> set[int]:
    assert thread.native_id is not None
    return os.sched_getaffinity(thread.native_id)


@linux
def test_threads_of_now_and_later_are_bound_and_given_back(waiting: Waiting) -> None:
    usual = os.sched_getaffinity(0)
    one = frozenset([max(usual)])
    before = bind_threads(one)
    try:
        assert os.sched_getaffinity(0) == cores_of(waiting.thread) == one
        child = waiting.start_child()
        assert cores_of(child) == one
        assert before[threading.get_native_id()] == usual
    finally:
        restore_threads(before)
    assert os.sched_getaffinity(0) == cores_of(waiting.thread) == cores_of(child) == usual


@linux
def test_threads_with_cores_of_their_own_get_these_back(waiting: Waiting) -> None:
    usual = os.sched_getaffinity(0)
    assert waiting.thread.native_id is not None
    os.sched_setaffinity(waiting.thread.native_id, {max(usual)})
    restore_threads(bind_threads(frozenset([min(usual)])))
    assert (os.sched_getaffinity(0), cores_of(waiting.thread)) == (usual, {max(usual)})


@linux
@pytest.mark.parametrize("wanted", [{4000}, {0, 4000}])
def test_cores_that_there_are_not_are_refused(wanted: set[int]) -> None:
    usual = os.sched_getaffinity(0)
    with pytest.raises(ValueError, match=r"can't use the cores (0, )?4000"):
        check_bindable(frozenset(wanted))
    with pytest.raises(ValueError, match="4000"):
        bind_threads(frozenset(wanted))
    assert os.sched_getaffinity(0) == usual


def test_other_systems_say_that_they_can_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "can_bind", lambda: False)
    with pytest.raises(NotImplementedError, match="needs Linux"):
        bind_threads(frozenset([0]))


@pytest.mark.parametrize(
    ("text", "found"),
    [("0", {0}), ("0-3", {0, 1, 2, 3}), ("0-1,8, 10-11", {0, 1, 8, 10, 11}), ("2-2", {2})],
)
def test_lists_of_cores_are_read_as_taskset_reads_them(text: str, found: set[int]) -> None:
    assert parse_cores(text) == found


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "-1", "3-1", "1,,2", "0-99999999999", "1.5", "0x1"]
)
def test_other_lists_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match='cores must be a list such as "0-3,8"'):
        parse_cores(text)


@pytest.mark.parametrize(
    ("cores", "count", "shares"),
    [
        (range(4), 2, [{0, 2}, {1, 3}]),
        (range(3), 2, [{0, 2}, {1}]),
        ((8, 3), 2, [{3}, {8}]),
        ((8, 3), 3, [{3}, {8}, {3}]),
        (range(4), 1, [{0, 1, 2, 3}]),
    ],
)
def test_cores_are_shared_out(cores: Any, count: int, shares: list[set[int]]) -> None:
    assert [share_of(cores, number, count) for number in range(count)] == shares


@pytest.mark.parametrize(("given", "found"), [(3, {3}), ([1, 2], {1, 2}), (range(2), {0, 1})])
def test_options_name_one_core_or_several(given: object, found: set[int]) -> None:
    assert checked_cores("pin", given) == found


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("0", TypeError, "pin must be the number of a core, or several, not '0'"),
        (None, TypeError, "pin must be"),
        (["0"], TypeError, "each of pin must be the number of a core, not '0'"),
        ([True], TypeError, "each of pin"),
        (True, ValueError, "pin must be"),
        (-1, ValueError, "pin must be"),
        ([0, -1], ValueError, "each of pin"),
        ([], ValueError, "pin must name one core at least"),
    ],
)
def test_wrong_options_are_refused(given: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        checked_cores("pin", given)
