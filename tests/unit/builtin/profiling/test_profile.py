"""Profile and its builder: what is added up, and what bounds it."""

from __future__ import annotations

import pytest

from pybrpc.builtin.profiling.profile import (
    OTHER_STACKS,
    Frame,
    ProfileBuilder,
    SampleKey,
    shown_value,
)
from tests.fakes.profiles import profile_of


def key(*names: str, thread: str = "") -> SampleKey:
    return SampleKey(tuple(map(Frame, names)), thread)


def test_values_of_the_same_stack_are_added_up() -> None:
    builder = ProfileBuilder(2)
    builder.add(key("main", "work"), 1, 100)
    builder.add(key("main", "work"), 1, 50)
    builder.add(key("main"), 1, 7)
    assert builder.samples == {key("main", "work"): (2, 150), key("main"): (1, 7)}


def test_threads_are_told_apart() -> None:
    builder = ProfileBuilder(1)
    builder.add(key("main", thread="a"), 1)
    builder.add(key("main", thread="b"), 1)
    assert len(builder.samples) == 2


def test_stacks_beyond_the_limit_count_together() -> None:
    builder = ProfileBuilder(1, max_stacks=2)
    for name in "abcda":
        builder.add(key(name), 1)
    assert builder.samples == {key("a"): (2,), key("b"): (1,), SampleKey(OTHER_STACKS): (2,)}


def test_frames_beyond_the_limit_count_together() -> None:
    builder = ProfileBuilder(1, max_stack_frames=3)
    builder.add(key("a", "b", "c"), 5)
    builder.add(key("d"), 7)
    builder.add(key("e"), 8)
    assert builder.samples == {key("a", "b", "c"): (5,), SampleKey(OTHER_STACKS): (15,)}


def test_total_and_whole_differ_by_what_is_negative() -> None:
    profile = profile_of({"a": 10, "b": -4})
    assert (profile.total, profile.whole) == (6, 10)


def test_size_grows_with_stacks() -> None:
    small, large = profile_of({"a": 1}), profile_of({f"a;b;f{i}": 1 for i in range(100)})
    assert 0 < small.size_bytes() < large.size_bytes()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "nanoseconds", "0 ns"),
        (1_500, "nanoseconds", "1.50 us"),
        (2_000_000, "nanoseconds", "2.00 ms"),
        (-3_000_000_000, "nanoseconds", "-3.00 s"),
        (100, "bytes", "100 B"),
        (2048, "bytes", "2.00 KiB"),
        (3 << 20, "bytes", "3.00 MiB"),
        (-(5 << 30), "bytes", "-5.00 GiB"),
        (12, "count", "12"),
    ],
)
def test_values_have_units_for_people(value: int, unit: str, text: str) -> None:
    assert shown_value(value, unit) == text
