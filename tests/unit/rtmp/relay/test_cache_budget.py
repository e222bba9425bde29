"""CacheBudget: which caches are dropped when all of them hold too much."""

from __future__ import annotations

from pybrpc.rtmp.relay.cache_budget import CacheBudget
from pybrpc.rtmp.relay.gop_cache import GopCache
from tests.fakes.rtmp_frames import keyframe, picture, shared


def new_cache(budget: CacheBudget, size: int) -> GopCache:
    cache = GopCache()
    cache.add(shared(keyframe(0, size)))
    budget.count(cache)
    return cache


def test_largest_cache_is_dropped_not_the_one_that_grows() -> None:
    budget = CacheBudget(100_000)
    large = new_cache(budget, 60_000)
    small = new_cache(budget, 30_000)
    small.add(shared(picture(40, 10_000)))
    budget.count(small)

    assert (large.frames, len(small.frames)) == ([], 2)
    assert budget.size_bytes == small.size_bytes


def test_some_room_is_made_so_that_the_next_frame_drops_nothing() -> None:
    budget = CacheBudget(100_000)
    caches = [new_cache(budget, 500) for _ in range(120)]

    assert budget.size_bytes <= 100_000
    assert 80 <= sum(bool(cache.frames) for cache in caches) <= 115
    assert budget.size_bytes == sum(cache.size_bytes for cache in caches)


def test_cache_that_is_empty_counts_nothing() -> None:
    budget = CacheBudget(100_000)
    cache = new_cache(budget, 1000)
    cache.restart()
    budget.count(cache)

    assert budget.size_bytes == 0
    assert "0 of 100000" in repr(budget)


def test_without_room_nothing_is_kept() -> None:
    assert new_cache(CacheBudget(0), 1).frames == []
