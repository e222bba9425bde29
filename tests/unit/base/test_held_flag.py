"""HeldFlag: true while its value is, or while somebody holds it."""

from __future__ import annotations

import math
import random

import pytest

from pybrpc.base.held_flag import MAX_HOLDS, HeldFlag
from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.clocks import use_clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock that all modules of pybrpc read."""
    made = FakeClock(100.0)
    use_clock(monkeypatch, made)
    return made


@pytest.fixture
def flag() -> HeldFlag:
    return HeldFlag("sampling", "A flag of this test", None)


def test_it_is_true_until_the_last_holder_releases_it(flag: HeldFlag) -> None:
    flag.hold("a", 600)
    flag.hold("b", 60)
    flag.release("a")
    assert flag.current()
    assert (flag.text(), flag.is_default, flag.value) == ("true", False, False)
    flag.release("b")
    assert not flag.current()
    assert flag.is_default


def test_hold_ends_by_itself(flag: HeldFlag, clock: FakeClock) -> None:
    flag.hold("a", 10)
    flag.hold("b", 5)
    clock.advance(9.5)
    assert flag.current()
    clock.advance(0.5)
    assert not flag.current()


def test_holder_that_holds_again_has_the_later_time_alone(flag: HeldFlag, clock: FakeClock) -> None:
    flag.hold("a", 100)
    flag.hold("a", 5)
    clock.advance(5)
    assert not flag.current()


def test_value_that_is_true_outlives_holds(flag: HeldFlag) -> None:
    flag.set(True)
    flag.hold("a", 10)
    flag.release("a")
    assert flag.current()


def test_false_ends_all_holds(flag: HeldFlag) -> None:
    flag.hold("a", 10)
    flag.hold("b", 10)
    flag.set(False)
    assert not flag.current()
    flag.release("a")
    assert not flag.current()


def test_release_tells_whether_the_hold_lasted_until_then(flag: HeldFlag, clock: FakeClock) -> None:
    assert not flag.release("a")
    flag.hold("a", 10)
    assert flag.release("a")
    assert not flag.release("a")
    flag.hold("a", 10)
    clock.advance(10)
    assert not flag.release("a")
    flag.hold("a", 10)
    flag.set(False)
    assert not flag.release("a")


def test_release_of_a_stranger_changes_nothing(flag: HeldFlag) -> None:
    flag.hold("a", 10)
    flag.release("b")
    assert flag.current()


def test_holds_are_bounded_and_those_that_have_ended_make_room(
    flag: HeldFlag, clock: FakeClock
) -> None:
    for number in range(MAX_HOLDS):
        flag.hold(str(number), 10)
    with pytest.raises(ValueError, match="sampling is held by 64 already"):
        flag.hold("one more", 10)
    flag.hold("0", 20)
    clock.advance(10)
    flag.hold("one more", 10)
    assert flag.current()


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e10])
def test_time_of_no_sense_is_refused(flag: HeldFlag, seconds: float) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        flag.hold("a", seconds)
    assert not flag.current()


@pytest.mark.parametrize("holder", ["", "x" * 65])
def test_name_of_no_sense_is_refused(flag: HeldFlag, holder: str) -> None:
    with pytest.raises(ValueError, match="a holder has a name of 1 to 64 characters"):
        flag.hold(holder, 1)
    assert not flag.current()


def test_check_refuses_holds_too() -> None:
    flag = HeldFlag("x", "", lambda value: "not now" if value else "")
    with pytest.raises(ValueError, match="x: not now"):
        flag.hold("a", 1)
    assert not flag.current()


def test_it_is_true_exactly_while_one_holds_it_in_any_order(
    flag: HeldFlag, clock: FakeClock
) -> None:
    chance = random.Random(7)
    ends: dict[str, float] = {}
    for _ in range(2000):
        holder = chance.choice("abcd")
        if chance.random() < 0.5:
            ends[holder] = clock.now_s + (seconds := chance.uniform(0.1, 5))
            flag.hold(holder, seconds)
        else:
            ends.pop(holder, None)
            flag.release(holder)
        clock.advance(chance.random())
        assert flag.current() == any(end > clock.now_s for end in ends.values())
