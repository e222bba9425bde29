"""ListKeeper: pauses, back-off, jitter, and when an empty list counts."""

from __future__ import annotations

import pytest

from pybrpc.errors import NamingError
from pybrpc.naming import ServerNode, UpdatePolicy
from pybrpc.naming.list_keeper import MAX_IDLE_PAUSE_S, MIN_PAUSE_S, ListKeeper

A, B = ServerNode.parse("a:1"), ServerNode.parse("b:1")


class Keeper(ListKeeper):
    """With a clock and a random number that the test sets. 0.5: no jitter."""

    def __init__(self, policy: UpdatePolicy | None = None, random: float = 0.5) -> None:
        self.now_s = 100.0
        super().__init__(policy or UpdatePolicy(), lambda: self.now_s, lambda: random)


def test_list_and_its_times_are_kept() -> None:
    keeper = Keeper()
    assert keeper.state.servers is None
    assert keeper.on_answer((A, B), 5.0) == 5.0
    keeper.now_s = 107.0
    keeper.on_answer(None, 5.0)
    assert keeper.state.servers == (A, B)
    assert (keeper.state.changed_s, keeper.state.checked_s) == (100.0, 107.0)
    assert not keeper.state.is_failing


def test_equal_list_in_another_order_is_no_change() -> None:
    keeper = Keeper()
    keeper.on_answer((A, B), 5.0)
    before = keeper.state.servers
    keeper.on_answer((B, A), 5.0)
    assert keeper.state.servers is before
    keeper.on_answer((B,), 5.0)
    assert keeper.state.servers == (B,)


@pytest.mark.parametrize(("random", "pause_s"), [(0.0, 4.5), (0.5, 5.0), (1.0, 5.5)])
def test_pauses_differ_by_ten_percent(random: float, pause_s: float) -> None:
    keeper = Keeper(random=random)
    assert keeper.on_answer((A,), 5.0) == pytest.approx(pause_s)
    assert keeper.on_failure(NamingError("x")) == pytest.approx(0.1 * pause_s)


def test_failures_keep_the_list_and_pauses_double_up_to_a_minute() -> None:
    keeper = Keeper()
    keeper.on_answer((A,), 5.0)
    keeper.now_s = 200.0
    pauses = [keeper.on_failure(NamingError(str(number))) for number in range(10)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    state = keeper.state
    assert state.servers == (A,)
    assert (str(state.error), state.error_s, state.failures, state.is_failing) == (
        "9",
        200.0,
        10,
        True,
    )
    for _ in range(2000):
        assert keeper.on_failure(NamingError("x")) == pytest.approx(60)


def test_success_ends_the_back_off_and_keeps_the_last_error_readable() -> None:
    keeper = Keeper()
    keeper.on_failure(NamingError("was down"))
    keeper.now_s = 300.0
    keeper.on_answer((A,), 5.0)
    state = keeper.state
    assert (str(state.error), state.error_s) == ("was down", 100.0)
    assert not state.is_failing
    assert keeper.on_failure(NamingError("x")) == 0.5


def test_empty_list_counts_when_it_was_confirmed_three_times() -> None:
    keeper = Keeper()
    keeper.on_answer((A,), 5.0)
    assert keeper.on_answer((), 5.0) == 1.0
    assert keeper.state.servers == (A,)
    assert keeper.state.is_failing
    assert keeper.wants_whole_list
    assert "1 of 3" in str(keeper.state.error)
    assert keeper.on_answer((), 5.0) == 1.0
    assert keeper.state.servers == (A,)
    assert keeper.on_answer((), 5.0) == 5.0
    assert keeper.state.servers == ()
    assert not keeper.wants_whole_list
    assert not keeper.state.is_failing


@pytest.mark.parametrize("between", ["list", "failure"])
def test_confirmations_have_to_follow_each_other(between: str) -> None:
    keeper = Keeper()
    keeper.on_answer((A,), 5.0)
    keeper.on_answer((), 5.0)
    keeper.on_answer((), 5.0)
    if between == "list":
        keeper.on_answer((A,), 5.0)
    else:
        keeper.on_failure(NamingError("x"))
    keeper.on_answer((), 5.0)
    assert keeper.state.servers == (A,)


def test_empty_list_counts_at_once_if_it_may_or_if_it_is_the_first() -> None:
    keeper = Keeper(UpdatePolicy(allow_empty=True))
    keeper.on_answer((A,), 5.0)
    keeper.on_answer((), 5.0)
    assert keeper.state.servers == ()
    keeper = Keeper()
    keeper.on_answer((), 5.0)
    assert keeper.state.servers == ()
    assert not keeper.state.is_failing


def test_service_that_should_wait_but_does_not_is_asked_more_and_more_rarely() -> None:
    keeper = Keeper()
    pauses = [keeper.on_answer((A,), 0.0) for _ in range(12)]
    assert pauses[0] == MIN_PAUSE_S
    assert pauses[1:4] == [2 * MIN_PAUSE_S, 4 * MIN_PAUSE_S, 8 * MIN_PAUSE_S]
    assert pauses[-1] == MAX_IDLE_PAUSE_S
    keeper.on_waited()
    assert keeper.on_answer(None, 0.0) == 2 * MIN_PAUSE_S
    assert keeper.on_answer((B,), 0.0) == MIN_PAUSE_S


@pytest.mark.parametrize(
    "wrong",
    [
        {"retry_s": 0},
        {"retry_s": 5, "max_retry_s": 4},
        {"max_retry_s": float("inf")},
        {"confirmations": 0},
        {"confirm_s": -1},
    ],
)
def test_wrong_policies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        UpdatePolicy(**wrong)  # type: ignore[arg-type]
