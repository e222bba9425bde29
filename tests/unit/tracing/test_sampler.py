"""Sampler: how many spans there are, and whose calls get them."""

from __future__ import annotations

from pybrpc.tracing.sampler import BURST_S, NESTED_DEBT_S, Sampler


def taken(sampler: Sampler, now: float, debt_s: float = 0.0, tries: int = 5000) -> int:
    return sum(sampler.try_take(now, debt_s) for _ in range(tries))


def test_tokens_of_a_tenth_of_a_second_are_saved_up() -> None:
    sampler = Sampler(1000)
    assert [taken(sampler, now) for now in (1.0, 1.0, 100.0)] == [100, 0, 100]


def test_tokens_come_with_time() -> None:
    sampler = Sampler(1000)
    taken(sampler, 1.0)
    assert [taken(sampler, now) for now in (1.0055, 1.0105, 1.0205)] == [5, 5, 10]


def test_storm_of_an_hour_gets_no_more_than_the_limit() -> None:
    sampler = Sampler(16)
    count = sum(taken(sampler, step / 8, tries=20) for step in range(8 * 3600))
    assert 16 * 3600 - 2 <= count <= 16 * 3600 + 2


def test_calls_from_elsewhere_come_first_and_are_limited_too() -> None:
    sampler = Sampler(1000)
    taken(sampler, 1.0)
    assert taken(sampler, 1.0, BURST_S) == 100
    assert [taken(sampler, 1.0505), taken(sampler, 1.0505, BURST_S)] == [0, 50]
    count = sum(taken(sampler, 2.0 + step / 10, BURST_S, 1000) for step in range(100))
    assert count <= 100 * 100 + 200


def test_nested_calls_may_owe_a_second_which_comes_in_first() -> None:
    sampler = Sampler(100)
    taken(sampler, 1.0)
    assert taken(sampler, 1.0, NESTED_DEBT_S) == 100
    assert [taken(sampler, 1.9), taken(sampler, 2.105)] == [0, 10]


def test_opens_at_tells_when_a_token_comes() -> None:
    sampler = Sampler(10)
    assert sampler.opens_at(1.0) == 1.0
    assert taken(sampler, 1.0) == 2
    opens_at = sampler.opens_at(1.0)
    assert 1.09 < opens_at < 1.11
    assert not sampler.try_take(opens_at - 0.001)
    assert sampler.try_take(opens_at + 0.001)


def test_limit_0_means_no_span_at_all() -> None:
    sampler = Sampler(0)
    assert [taken(sampler, now, NESTED_DEBT_S) for now in (1.0, 100.0)] == [0, 0]
    assert sampler.opens_at(1.0) > 1.0


def test_a_lower_limit_holds_at_once() -> None:
    sampler = Sampler(1000)
    sampler.per_second = 10
    assert taken(sampler, 1.0) == 2


def test_a_thread_that_finds_the_lock_taken_gets_no_span() -> None:
    sampler = Sampler(1000)
    with sampler._lock:
        assert not sampler.try_take(1.0)
    assert sampler.try_take(1.0)


def test_time_that_goes_back_adds_nothing() -> None:
    sampler = Sampler(10)
    assert [taken(sampler, now) for now in (5.0, 4.0, 5.05)] == [2, 0, 0]
    assert repr(sampler) == "<Sampler 10 spans per second>"
