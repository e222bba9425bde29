from __future__ import annotations

import pytest

from pybrpc.base.wake_list import WakeList


def test_everybody_is_called_once_and_in_order() -> None:
    called: list[str] = []
    waiters = WakeList()
    waiters.add(lambda: called.append("first"))
    waiters.add(lambda: called.append("second"))
    assert len(waiters) == 2
    waiters.wake_all()
    waiters.wake_all()
    assert called == ["first", "second"]


def test_discarded_is_not_called() -> None:
    called: list[str] = []
    waiters, wake = WakeList(), lambda: called.append("woken")
    waiters.add(wake)
    waiters.discard(wake)
    waiters.discard(wake)
    waiters.wake_all()
    assert called == []


def test_waiter_added_during_wake_all_is_woken_too() -> None:
    called: list[str] = []
    waiters = WakeList()
    waiters.add(lambda: waiters.add(lambda: called.append("late")))
    waiters.wake_all()
    assert called == ["late"]


class EmptiedMeanwhile(list):  # type: ignore[type-arg]
    """As another thread leaves it that wakes the last one between a look and a `pop`."""

    def pop(self, index: int = -1) -> object:
        self.clear()
        return super().pop(index)


@pytest.mark.python_only
def test_two_who_wake_at_once_do_not_fall_over_each_other() -> None:
    waiters = WakeList()
    waiters._wakes = EmptiedMeanwhile([lambda: None])
    waiters.wake_all()
    assert len(waiters) == 0
