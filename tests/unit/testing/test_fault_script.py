"""FaultScript: when bytes may pass, on a clock that the test reads out."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.base.deadline import NEVER
from pybrpc.testing.faulty_proxy.fault_script import UNLIMITED, FaultScript
from pybrpc.testing.faulty_proxy.faults import (
    CutAt,
    Delay,
    DropFrom,
    Fault,
    Faults,
    HalfCloseAt,
    Refuse,
    ResetAt,
    Slow,
    Stall,
)


def script(*faults: Fault) -> tuple[FaultScript, list[Fault]]:
    """A script, and the faults of it that have struck so far."""
    struck: list[Fault] = []
    return FaultScript(faults, struck.append), struck


def test_without_faults_everything_passes() -> None:
    course, struck = script()
    assert course.allowance(0) == (UNLIMITED, NEVER)
    course.note_passed(1 << 40, 0)
    assert course.allowance(0) == (UNLIMITED, NEVER)
    assert course.take_end(0) is None
    assert struck == []


@pytest.mark.parametrize("kind", [CutAt, ResetAt, HalfCloseAt, DropFrom])
def test_an_end_comes_once_after_its_bytes(kind: type[CutAt]) -> None:
    course, struck = script(kind(10), CutAt(20))
    assert course.allowance(0) == (10, NEVER)
    course.note_passed(7, 0)
    assert course.take_end(0) is None
    assert course.allowance(0) == (3, NEVER)
    course.note_passed(3, 0)
    assert struck == []
    assert course.take_end(0) == kind(10)
    assert course.take_end(0) is None
    assert struck == [kind(10)]


def test_a_stall_begins_at_its_byte_and_ends_by_itself() -> None:
    course, struck = script(Stall(5, seconds=2))
    assert course.allowance(100) == (5, NEVER)
    course.note_passed(5, 100)
    assert struck == [Stall(5, seconds=2)]
    assert course.allowance(101.5) == (0, 102)
    assert course.allowance(102) == (UNLIMITED, NEVER)


def test_a_stall_at_0_begins_with_the_first_look() -> None:
    course, _ = script(Stall(seconds=2))
    assert course.allowance(100) == (0, 102)


def test_an_endless_stall_ends_when_it_is_told_to() -> None:
    course, _ = script(Stall(), Stall(3))
    assert course.allowance(1e9) == (0, NEVER)
    course.end_stalls()
    assert course.allowance(1e9) == (3, NEVER)
    course.note_passed(3, 1e9)
    assert course.allowance(1e9) == (0, NEVER)


def test_a_stall_comes_before_an_end_at_the_same_byte() -> None:
    course, _ = script(CutAt(0), Stall(0, seconds=1))
    assert course.allowance(0) == (0, 1)
    assert course.take_end(0.5) is None
    assert course.take_end(1) == CutAt(0)


def test_slow_lets_a_chunk_pass_and_then_waits_for_as_long_as_it_costs() -> None:
    course, struck = script(Slow(10, chunk_bytes=5))
    assert course.allowance(0) == (5, NEVER)
    assert struck == []
    course.note_passed(5, 0)
    assert course.allowance(0.25) == (0, 0.5)
    assert course.allowance(0.5) == (5, NEVER)
    course.note_passed(2, 0.5)
    assert course.allowance(0.5) == (0, 0.7)
    assert struck == [Slow(10, chunk_bytes=5)]


def test_delays_add_up() -> None:
    course, struck = script(Delay(0.5), Delay(0.25))
    assert course.latency_s == 0.75
    assert struck == [Delay(0.5), Delay(0.25)]


paces = st.one_of(
    st.builds(Stall, st.integers(0, 200), st.floats(0.001, 9)),
    st.builds(Slow, st.floats(1, 1000), st.integers(1, 50)),
)
ends = st.builds(CutAt, st.integers(0, 200))


@given(st.lists(paces, max_size=5), ends, st.integers())
def test_whatever_the_pace_exactly_the_bytes_before_the_end_pass(
    pace: list[Fault], end: CutAt, seed: int
) -> None:
    course, struck = script(*pace, end)
    source = random.Random(seed)
    times = [0.0]
    while course.take_end(times[-1]) is None:
        allowed, again_at = course.allowance(times[-1])
        if allowed:
            course.note_passed(source.randint(1, allowed), times[-1])
        else:
            # The end may be due already, and is taken at this very time.
            times.append(max(times[-1], min(again_at, times[-1] + 10)))
        assert course.position <= end.after_bytes
    assert course.position == end.after_bytes
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert struck[-1] is end


@pytest.mark.parametrize(
    "make",
    [
        lambda: CutAt(-1),
        lambda: ResetAt(1.5),  # type: ignore[arg-type]
        lambda: Stall(0, seconds=0),
        lambda: Slow(0),
        lambda: Slow(1, chunk_bytes=0),
        lambda: Delay(float("nan")),
    ],
)
def test_numbers_that_make_no_sense(make: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()  # type: ignore[operator]


def test_a_refusal_has_no_direction() -> None:
    with pytest.raises(TypeError, match="takes faults such as CutAt"):
        Faults(to_client=[Refuse()])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="takes a list of faults"):
        Faults(to_client=CutAt(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"refuse takes a Refuse\(\)"):
        Faults(refuse=True)  # type: ignore[arg-type]


def test_faults_are_values() -> None:
    assert Faults(to_server=[CutAt(1)]) == Faults(to_server=(CutAt(1),))
    assert hash(Faults(to_server=[CutAt(1)])) == hash(Faults(to_server=(CutAt(1),)))
