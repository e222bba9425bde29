"""The atomics of compiled code. In plain Python their methods do the same, but not atomically."""

from __future__ import annotations

import cereggii
import pytest

from pybrpc.base import atomic
from pybrpc.base.gil_atomic import GilAtomicCounter, GilAtomicRef


def test_ref_exchanges_and_compares_by_identity() -> None:
    first, second, equal = [1], [2], [1]
    ref = GilAtomicRef(first)
    assert ref.get() is first
    assert not ref.compare_and_set(equal, second)
    assert ref.get() is first
    assert ref.compare_and_set(first, second)
    assert ref.get_and_set(equal) is second
    assert ref.get() is equal


def test_counter_adds_and_compares() -> None:
    counter = GilAtomicCounter(5)
    assert counter.increment_and_get() == 6
    assert counter.increment_and_get(4) == 10
    assert counter.decrement_and_get() == 9
    assert counter.decrement_and_get(7) == 2
    assert not counter.compare_and_set(3, 100)
    assert counter.get() == 2
    assert counter.compare_and_set(2, 100)
    assert counter.get() == 100
    assert GilAtomicCounter().get() == 0


@pytest.mark.parametrize(
    ("implementation", "ref", "counter"),
    [
        ("compiled", GilAtomicRef, GilAtomicCounter),
        ("python", cereggii.AtomicRef, cereggii.AtomicInt64),
    ],
)
def test_gil_atomics_are_used_only_if_they_are_compiled(
    monkeypatch: pytest.MonkeyPatch, implementation: str, ref: type, counter: type
) -> None:
    monkeypatch.setattr(atomic, "__impl__", implementation)
    assert type(atomic.atomic_ref(None)) is ref
    assert type(atomic.atomic_counter()) is counter
