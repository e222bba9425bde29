"""Traced values: each access to one comes to a point of the scheduler first.

`TracedRef`, an AtomicRef, is in `pybrpc.testing.step_scheduler`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any, Protocol


class Scheduler(Protocol):
    """A StepScheduler, or what passes points on to one."""

    def point(self, label: str, /) -> None: ...


class WaitingScheduler(Scheduler, Protocol):
    def wait_for_others(self) -> None: ...


class TracedSlot:
    """Replaces a slot of a class. The first assignment, which nobody else can see, is no point."""

    def __init__(self, scheduler: Scheduler, slot: Any, name: str) -> None:
        self._scheduler = scheduler
        self._slot = slot
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        self._scheduler.point(f"read {self._name}")
        return self._slot.__get__(instance, owner)

    def __set__(self, instance: object, value: object) -> None:
        with contextlib.suppress(AttributeError):
            self._slot.__get__(instance)
            self._scheduler.point(f"set {self._name}")
        self._slot.__set__(instance, value)


class TracedCounter:
    """An AtomicCounter. Unless it `is_signed`, a value below 0 is an AssertionError."""

    def __init__(
        self, scheduler: Scheduler, name: str = "the count", *, is_signed: bool = False
    ) -> None:
        self._scheduler = scheduler
        self._name = name
        self._is_signed = is_signed
        self._value = 0

    def get(self) -> int:
        self._scheduler.point(f"get {self._name}")
        return self._value

    def increment_and_get(self, amount: int = 1) -> int:
        self._scheduler.point(f"add {amount} to {self._name}")
        self._value += amount
        assert self._is_signed or self._value >= 0, (
            f"more was subtracted from {self._name} than was added"
        )
        return self._value

    def decrement_and_get(self, amount: int = 1) -> int:
        return self.increment_and_get(-amount)

    def compare_and_set(self, expected: int, desired: int) -> bool:
        self._scheduler.point(f"replace {expected} with {desired} in {self._name}")
        if self._value != expected:
            return False
        self._value = desired
        return True


class TracedLock:
    """A lock whose `acquire` waits for other threads of the scheduler; its timeouts never pass."""

    def __init__(self, scheduler: WaitingScheduler, name: str, is_locked: bool) -> None:
        self._scheduler = scheduler
        self._name = name
        self._is_locked = is_locked

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._scheduler.point(f"acquire {self._name}")
        while blocking and self._is_locked:
            self._scheduler.wait_for_others()
        is_mine, self._is_locked = not self._is_locked, True
        return is_mine

    def release(self) -> None:
        self._scheduler.point(f"release {self._name}")
        if not self._is_locked:
            raise RuntimeError("release unlocked lock")
        self._is_locked = False

    def locked(self) -> bool:
        self._scheduler.point(f"look at {self._name}")
        return self._is_locked


class TracedDict(dict[Any, Any]):
    """A dict with points before each access, and after each change too."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._name = name

    def __setitem__(self, key: Any, value: Any) -> None:
        self._scheduler.point(f"put into {self._name}")
        super().__setitem__(key, value)
        self._scheduler.point(f"is in {self._name}")

    def __contains__(self, key: object) -> bool:
        self._scheduler.point(f"look into {self._name}")
        return super().__contains__(key)

    def __bool__(self) -> bool:
        self._scheduler.point(f"look at {self._name}")
        return len(self) > 0

    def pop(self, *arguments: Any) -> Any:
        self._scheduler.point(f"pop from {self._name}")
        taken = super().pop(*arguments)
        self._scheduler.point(f"popped from {self._name}" if taken else f"not in {self._name}")
        return taken

    def setdefault(self, key: Any, default: Any = None) -> Any:
        self._scheduler.point(f"put into {self._name}, unless it is there")
        value = super().setdefault(key, default)
        self._scheduler.point(f"is in {self._name}")
        return value

    def popitem(self) -> Any:
        self._scheduler.point(f"popitem from {self._name}")
        return super().popitem()


class TracedDeque(deque[Any]):
    """A deque with points before and after each append."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._name = name

    def append(self, item: Any) -> None:
        self._scheduler.point(f"append to {self._name}")
        super().append(item)
        self._scheduler.point(f"appended to {self._name}")
