"""BlockPool gives no block to two users, and respects its limit."""

from __future__ import annotations

import threading
from collections import deque

import pytest

from pybrpc.iobuf.block_pool import GRAIN, POOLED_FROM, BlockPool

MB = 1 << 20


def test_pool_reuses_a_block_when_its_last_view_is_gone() -> None:
    pool = BlockPool()
    view = pool.take(MB)
    block = id(view.obj)
    part = view.toreadonly()[10:20][:5]
    view.release()
    other = pool.take(MB)
    assert id(other.obj) != block
    del part
    again = pool.take(MB - 5 * GRAIN)
    assert id(again.obj) == block
    assert len(again) == MB - 5 * GRAIN


def test_pool_gives_no_block_more_than_twice_the_size_asked_for() -> None:
    pool = BlockPool()
    pool.take(4 * MB)
    assert len(pool.take(MB).obj) == MB
    assert len(pool.take(2 * MB).obj) == 4 * MB


def test_short_blocks_are_not_pooled() -> None:
    pool = BlockPool()
    assert len(pool.take(POOLED_FROM - 1).obj) == POOLED_FROM - 1
    assert pool.size_bytes == 0


def test_pool_drops_its_oldest_blocks_over_the_limit() -> None:
    pool = BlockPool(limit_bytes=4 * MB)
    held = [pool.take(MB) for _ in range(10)]
    assert pool.size_bytes == 4 * MB
    assert len({id(view.obj) for view in held}) == 10
    pool.take(5 * MB)
    assert pool.size_bytes == 0


def test_threads_never_get_the_same_block() -> None:
    pool = BlockPool(limit_bytes=8 * POOLED_FROM)
    clashes: list[int] = []

    def use(stamp: int) -> None:
        for _ in range(300):
            view = pool.take(POOLED_FROM)
            view[:8] = view[-8:] = bytes([stamp] * 8)
            for _ in range(20):
                if view[:8] != view[-8:] or view[0] != stamp:
                    clashes.append(stamp)

    threads = [threading.Thread(target=use, args=(stamp,)) for stamp in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []
    assert pool.size_bytes <= 8 * POOLED_FROM


class EmptiedMeanwhile(deque[bytearray]):
    """A deque that another thread empties between a check and a `popleft`."""

    def popleft(self) -> bytearray:
        self.clear()
        return super().popleft()


@pytest.mark.python_only
def test_pool_does_not_wait_for_blocks_that_another_thread_took() -> None:
    pool = BlockPool(limit_bytes=POOLED_FROM)
    pool._blocks = EmptiedMeanwhile([bytearray(POOLED_FROM)])
    assert len(pool.take(POOLED_FROM)) == POOLED_FROM
    pool._blocks = EmptiedMeanwhile([bytearray(4 * POOLED_FROM)])
    assert len(pool.take(POOLED_FROM)) == POOLED_FROM
    pool._blocks = EmptiedMeanwhile([bytearray(4 * POOLED_FROM), bytearray(POOLED_FROM)])
    pool._forget_oldest()
    assert pool.size_bytes == 0
