from __future__ import annotations

import errno
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.connecting.connect_race import (
    ATTEMPT_DELAY_S,
    BUSY_PAUSE_S,
    ConnectRace,
    interleaved,
)
from pybrpc.transport.connecting.resolver import Address

NOW = 1000.0


def v4(number: int) -> Address:
    return int(socket.AF_INET), (f"10.0.0.{number}", 80)


def v6(number: int) -> Address:
    return int(socket.AF_INET6), (f"fd00::{number}", 80, 0, 0)


addresses = st.lists(
    st.builds(lambda make, n: make(n), st.sampled_from([v4, v6]), st.integers(1, 5))
)


@pytest.mark.parametrize(
    ("given_order", "order"),
    [
        ([], []),
        ([v4(1), v4(2)], [v4(1), v4(2)]),
        ([v6(1), v6(2), v4(1), v4(2)], [v6(1), v4(1), v6(2), v4(2)]),
        ([v4(1), v6(1), v6(2), v6(3)], [v4(1), v6(1), v6(2), v6(3)]),
        ([v6(1), v6(1), v4(1)], [v6(1), v4(1)]),
    ],
)
def test_families_take_turns(given_order: list[Address], order: list[Address]) -> None:
    """RFC 8305, section 4."""
    assert interleaved(given_order) == order


@given(addresses)
def test_interleaving_loses_nothing_and_keeps_the_order_of_a_family(found: list[Address]) -> None:
    order = interleaved(found)
    assert sorted(order) == sorted(set(found))
    assert order[:1] == found[:1]
    for family in (socket.AF_INET, socket.AF_INET6):
        of_family = [each for each in found if each[0] == family]
        assert [each for each in order if each[0] == family] == list(dict.fromkeys(of_family))


def test_next_address_has_its_turn_after_the_delay() -> None:
    race = ConnectRace([v6(1), v4(1)])
    assert race.take_due(NOW) == v6(1)
    assert race.next_turn == NOW + ATTEMPT_DELAY_S
    assert race.take_due(NOW + ATTEMPT_DELAY_S - 0.01) is None
    assert race.take_due(NOW + ATTEMPT_DELAY_S) == v4(1)
    assert race.next_turn == NEVER
    assert race.take_due(NOW + 3600) is None
    assert not race.is_lost


def test_next_address_has_its_turn_at_once_when_the_last_has_failed() -> None:
    race = ConnectRace([v6(1), v4(1)])
    race.take_due(NOW)
    race.on_failure(v6(1), errno.ENETUNREACH)
    assert race.take_due(NOW) == v4(1)


def test_failure_of_an_earlier_attempt_does_not_bring_the_next_turn_forward() -> None:
    race = ConnectRace([v6(1), v4(1), v6(2)])
    race.take_due(NOW)
    race.take_due(NOW + 1)
    race.on_failure(v6(1), errno.ECONNREFUSED)
    assert race.take_due(NOW + 1) is None
    assert race.next_turn == NOW + 1 + ATTEMPT_DELAY_S


def test_race_is_lost_when_the_last_open_attempt_has_failed() -> None:
    race = ConnectRace([v6(1), v4(1)])
    race.take_due(NOW)
    race.take_due(NOW + 1)
    for address in (v4(1), v6(1)):
        assert not race.is_lost
        race.on_failure(address, errno.ECONNREFUSED)
    assert race.is_lost


def test_race_without_addresses_is_lost() -> None:
    race = ConnectRace([])
    assert race.take_due(NOW) is None
    assert race.is_lost
    assert race.most_telling_code == errno.EADDRNOTAVAIL


def test_busy_peer_is_tried_again_after_a_pause() -> None:
    race, now = ConnectRace([v4(1)]), NOW
    for _ in range(3):
        assert race.take_due(now) == v4(1)
        race.on_busy(v4(1), now)
        assert not race.is_lost
        assert race.take_due(now) is None
        assert race.next_turn == now + BUSY_PAUSE_S
        now = race.next_turn


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ([errno.ENETUNREACH, errno.ECONNREFUSED], errno.ECONNREFUSED),
        ([errno.ECONNREFUSED, errno.ETIMEDOUT], errno.ECONNREFUSED),
        ([errno.EADDRNOTAVAIL, errno.EHOSTUNREACH], errno.EADDRNOTAVAIL),
        ([errno.EHOSTUNREACH, errno.EMFILE, errno.ECONNREFUSED], errno.EMFILE),
    ],
)
def test_report_chooses_the_first_error_that_is_about_the_peer(codes: list[int], told: int) -> None:
    race = ConnectRace([v4(number) for number in range(len(codes))])
    for number, code in enumerate(codes):
        race.take_due(NOW)
        race.on_failure(v4(number), code)
    assert race.most_telling_code == told


def test_report_names_each_address() -> None:
    race = ConnectRace([v6(1), v4(1), v4(2)])
    race.take_due(NOW)
    race.on_failure(v6(1), errno.ENETUNREACH)
    race.take_due(NOW)
    assert race.report(Endpoint("a-name", 80)) == (
        "[fd00::1]:80 (Network is unreachable), 10.0.0.1:80 (no answer), 10.0.0.2:80 (not tried)"
    )


def test_report_of_one_address_is_short() -> None:
    assert ConnectRace([v4(1)]).report(Endpoint("10.0.0.1", 80)) == ""
    assert ConnectRace([v4(1)]).report(Endpoint("a-name", 80)) == "10.0.0.1:80"


def test_report_of_many_addresses_is_bounded() -> None:
    report = ConnectRace([v4(number) for number in range(250)]).report(Endpoint("a-name", 80))
    assert report.endswith(", 10.0.0.7:80 (not tried), 242 more")


@given(addresses, st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 9))))
def test_each_address_is_tried_once_in_order_whatever_happens(
    found: list[Address], events: list[tuple[float, int]]
) -> None:
    """And two attempts begin less than the delay apart only when the earlier one has failed."""
    race, now = ConnectRace(found), NOW
    tried: list[tuple[float, Address]] = []
    open_attempts: list[Address] = []

    def try_all_due() -> None:
        while (address := race.take_due(now)) is not None:
            if tried and tried[-1][1] in open_attempts:
                assert now - tried[-1][0] >= ATTEMPT_DELAY_S
            tried.append((now, address))
            open_attempts.append(address)

    try_all_due()
    for pause_s, number in events:
        now += pause_s
        if number < len(open_attempts):
            race.on_failure(open_attempts.pop(number), errno.ECONNREFUSED)
        try_all_due()
        assert race.is_lost == (not open_attempts and len(tried) == len(set(found)))
    order = [address for _, address in tried]
    assert order == interleaved(found)[: len(order)]
