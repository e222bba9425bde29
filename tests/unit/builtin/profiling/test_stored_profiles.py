"""StoredProfiles: how many are kept, and how they are found."""

from __future__ import annotations

from pybrpc.builtin.profiling.stored_profiles import StoredProfiles
from tests.fakes.profiles import profile_of


def test_a_profile_is_found_by_its_number() -> None:
    store = StoredProfiles()
    profile = profile_of({"a": 1})
    stored = store.add(profile)
    found = store.find(stored.number)
    assert found is not None
    assert found.profile is profile
    assert store.find(stored.number + 1) is None


def test_the_oldest_are_forgotten() -> None:
    store = StoredProfiles(max_profiles=3)
    numbers = [store.add(profile_of({"a": 1})).number for _ in range(5)]
    assert [store.find(number) is not None for number in numbers] == [False] * 2 + [True] * 3
    assert [each.number for each in store.latest_first("cpu")] == numbers[:1:-1]


def test_bytes_are_limited_but_the_latest_is_kept() -> None:
    store = StoredProfiles(max_bytes=1)
    store.add(profile_of({"a": 1}))
    second = store.add(profile_of({"a": 1}))
    assert store.latest_first("cpu") == [second]
    assert repr(store) == f"<StoredProfiles 1 profiles, {second.size_bytes} bytes>"


def test_kinds_are_told_apart() -> None:
    store = StoredProfiles()
    cpu = store.add(profile_of({"a": 1}))
    heap = store.add(profile_of({"a": 1}, kind="heap"))
    assert store.latest_first("heap") == [heap]
    assert store.latest_first("cpu", "heap") == [heap, cpu]
    store.clear()
    assert store.latest_first("cpu", "heap") == []
