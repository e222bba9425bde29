"""RandomFaults: faults that come back with their seed."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pybrpc.testing.faulty_proxy import CutAt, Faults, RandomFaults, Stall
from pybrpc.testing.faulty_proxy.random_faults import KINDS

MANY = range(2000)


def kinds_of(faults: Faults) -> list[str]:
    found = [*faults.to_server, *faults.to_client]
    return [type(fault).__name__ for fault in ([faults.refuse] if faults.refuse else found)]


def test_seed_gives_the_same_faults_in_any_order() -> None:
    plan = RandomFaults(seed=7)
    numbers = list(MANY)
    random.Random(1).shuffle(numbers)
    shuffled = {number: RandomFaults(seed=7)(number) for number in numbers}
    assert [plan(number) for number in MANY] == [shuffled[number] for number in MANY]


def test_different_seeds_give_different_faults() -> None:
    assert [RandomFaults(1)(n) for n in MANY] != [RandomFaults(2)(n) for n in MANY]


def test_every_kind_comes_in_either_direction() -> None:
    drawn = [RandomFaults(seed=3, rate=1)(number) for number in MANY]
    kinds = Counter(kind for faults in drawn for kind in kinds_of(faults))
    assert set(kinds) == {kind.__name__ for kind in KINDS}
    assert min(kinds.values()) > len(MANY) / len(KINDS) / 2
    for name in {kind.__name__ for kind in KINDS} - {"Refuse"}:
        assert any(name in kinds_of(Faults(f.to_server)) for f in drawn)
        assert any(name in kinds_of(Faults(to_client=f.to_client)) for f in drawn)


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_rate_is_the_share_of_connections_with_a_fault(rate: float) -> None:
    plan = RandomFaults(seed=1, rate=rate)
    share = sum(plan(number) != Faults() for number in MANY) / len(MANY)
    assert share == pytest.approx(rate, abs=0.05)


def test_faults_stay_within_what_was_asked_for() -> None:
    plan = RandomFaults(seed=5, rate=1, most_bytes=100, longest_s=0.5, kinds=(CutAt, Stall))
    drawn = [fault for n in MANY for fault in (*plan(n).to_server, *plan(n).to_client)]
    assert {type(fault) for fault in drawn} == {CutAt, Stall}
    positions = {fault.after_bytes for fault in drawn if isinstance(fault, CutAt | Stall)}
    assert min(positions) == 0
    assert 90 <= max(positions) < 100
    assert max(f.seconds for f in drawn if isinstance(f, Stall) and f.seconds) <= 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rate": 1.5}, "rate is a share"),
        ({"most_bytes": 0}, "most_bytes must be"),
        ({"longest_s": 0.0}, "longest_s above 0"),
        ({"kinds": (int,)}, "kinds must be some of Stall, Slow"),
        ({"kinds": ()}, "kinds must be some of Stall, Slow"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RandomFaults(**options)  # type: ignore[arg-type]
