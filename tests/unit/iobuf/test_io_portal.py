"""IOPortal: in which blocks data is received, and when they are released."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from pybrpc.iobuf import IOPortal, io_portal
from pybrpc.iobuf.block_pool import BlockPool

KB, MB = 1 << 10, 1 << 20
PATTERN = bytes(i * 31 % 251 for i in range(251 * 4))


def content(size: int) -> bytes:
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> BlockPool:
    """A new pool."""
    pool = BlockPool()
    monkeypatch.setattr(io_portal, "POOL", pool)
    return pool


class Feed:
    """A descriptor to read from, and the bytes that are to be read."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self.fd = self._theirs.fileno()

    def give(self, data: bytes, portal: IOPortal, max_bytes: int) -> None:
        """Make the portal read `data`; a read asks for the rest of `max_bytes`, at least 64 KiB."""
        left = len(data)
        while left:
            sent = os.write(self._ours.fileno(), data[len(data) - left :][: 64 * KB])
            while sent:
                count = portal.append_from_fd(self.fd, max_bytes)
                assert 0 < count <= min(sent, max_bytes)
                sent -= count
                left -= count
                max_bytes = max(64 * KB, max_bytes - count)

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def feed() -> Iterator[Feed]:
    feed = Feed()
    yield feed
    feed.close()


@pytest.mark.parametrize(
    "size",
    [64 * KB + 1, 100_000, 256 * KB - 1, 256 * KB, MB - 1, MB, MB + 1, 4 * MB - 1, 4 * MB],
)
def test_large_read_is_received_into_one_block(feed: Feed, pool: BlockPool, size: int) -> None:
    portal = IOPortal()
    feed.give(content(size), portal, size)
    assert (len(portal), portal.block_count) == (size, 1)
    (view,) = portal
    assert view.readonly
    assert view == content(size)


def test_short_contents_are_moved_into_a_new_block(feed: Feed, pool: BlockPool) -> None:
    data = content(MB)
    portal = IOPortal()
    feed.give(data[:60_000], portal, 64 * KB)
    assert portal.cut_contiguous(10) == data[:10]
    feed.give(data[60_000:], portal, MB - 60_000)
    assert portal.block_count == 1
    assert portal == data[10:]


def test_bytes_after_a_full_block_are_received_into_another(feed: Feed, pool: BlockPool) -> None:
    portal = IOPortal()
    feed.give(content(300_000), portal, 300_000)
    feed.give(content(100), portal, 64 * KB)
    assert portal.block_count == 2
    assert portal == content(300_000) + content(100)


def test_views_do_not_change_while_more_is_received(feed: Feed, pool: BlockPool) -> None:
    portal = IOPortal()
    feed.give(content(MB), portal, MB)
    kept = portal.cutn(MB)
    for _ in range(5):
        feed.give(bytes(MB), portal, MB)
        assert portal.pop_front(MB) == MB
    assert kept == content(MB)
    assert pool.size_bytes == 2 * MB
    del kept
    feed.give(bytes(MB), portal, MB)
    feed.give(bytes(MB), portal, MB)
    assert pool.size_bytes == 2 * MB


@pytest.mark.parametrize("cut_first", [True, False])
def test_short_part_does_not_keep_a_large_block_alive(
    feed: Feed, pool: BlockPool, cut_first: bool
) -> None:
    """A part is shared if it is at least a 16th of the block."""
    portal = IOPortal()
    feed.give(content(MB), portal, MB)
    if cut_first:
        kept = portal.cutn(10)
    else:
        portal.pop_front(MB - 10)
        kept = portal.cutn(10)
    assert kept == (content(MB)[:10] if cut_first else content(MB)[-10:])
    assert [type(view.obj) for view in kept] == [bytes]
    portal.clear()
    feed.give(content(MB), portal, MB)
    assert pool.size_bytes == MB
    portal.pop_front(MB - MB // 16)
    assert [type(view.obj) for view in portal.cutn(MB // 16)] == [bytearray]


def test_contents_can_be_cut_while_their_block_is_being_filled(feed: Feed, pool: BlockPool) -> None:
    data = content(MB)
    portal = IOPortal()
    feed.give(data[:200_000], portal, MB)
    head = portal.cutn(150_000)
    assert portal.pop_back(10_000) == 10_000
    portal.append(b"between")
    feed.give(data[200_000:], portal, MB - 200_000)
    assert head == data[:150_000]
    assert portal == data[150_000:190_000] + b"between" + data[200_000:]


@pytest.mark.parametrize("way", ["clear", "pop_front", "cutn"])
def test_empty_portal_continues_to_fill_its_block(feed: Feed, pool: BlockPool, way: str) -> None:
    portal = IOPortal()
    feed.give(content(100_000), portal, MB)
    cut = None
    if way == "clear":
        portal.clear()
    elif way == "pop_front":
        portal.pop_front(100_000)
    else:
        cut = portal.cutn(200_000)
    feed.give(content(300_000), portal, MB)
    assert portal == content(300_000)
    assert cut is None or cut == content(100_000)


def test_clear_returns_the_block_to_the_pool(feed: Feed, pool: BlockPool) -> None:
    portal = IOPortal()
    feed.give(content(100_000), portal, MB)
    portal.clear()
    pool.take(MB)
    assert pool.size_bytes == MB


def test_read_from_an_empty_descriptor_changes_nothing(feed: Feed, pool: BlockPool) -> None:
    portal = IOPortal()
    feed.give(b"first", portal, 64 * KB)
    for max_bytes in (64 * KB, MB, 64 * KB):
        with pytest.raises(BlockingIOError):
            portal.append_from_fd(feed.fd, max_bytes)
        assert portal == b"first"
    assert portal.append_from_fd(feed.fd, 0) == 0
    feed.give(b"second", portal, MB)
    assert portal == b"firstsecond"
    assert portal.block_count == 1


def test_read_at_the_end_returns_0_bytes(pool: BlockPool) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"last")
        ours.close()
        portal = IOPortal()
        assert portal.append_from_fd(theirs.fileno(), MB) == 4
        assert portal.append_from_fd(theirs.fileno(), MB) == 0
        assert portal == b"last"
