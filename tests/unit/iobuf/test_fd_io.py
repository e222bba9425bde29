"""Reads and writes of IOBufs on descriptors: complete, partial and failed ones."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from pybrpc.iobuf import IOV_MAX, IOBuf, cut_multiple_into_fd, fd_io, gather

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


@pytest.fixture
def small_pair(pair: Pair) -> Pair:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024 - 17)
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024 - 17)
    return pair


def content(size: int) -> bytes:
    return bytes(i * 31 % 251 for i in range(size))


def blocks_of(data: bytes, size: int) -> IOBuf:
    buf = IOBuf()
    buf.appendv(data[i : i + size] for i in range(0, len(data), size))
    return buf


def pump(write: Callable[[], int], source: Callable[[], int], theirs: socket.socket) -> IOBuf:
    """Write and read in turn until all bytes have arrived, and check every count."""
    received = IOBuf()
    while left := source():
        try:
            written = write()
        except BlockingIOError:
            assert source() == left
            written = 0
        assert source() == left - written
        while received.append_from_fd(theirs.fileno(), 1 << 20) < written:
            pass
    return received


def test_reading_0_bytes_returns_0(pair: Pair) -> None:
    """bRPC: append_zero."""
    buf = IOBuf()
    assert buf.append_from_fd(pair[1].fileno(), 0) == 0
    assert buf.block_count == 0


def test_reading_at_the_end_returns_0(pair: Pair) -> None:
    pair[0].send(b"last")
    pair[0].close()
    buf = IOBuf()
    assert buf.append_from_fd(pair[1].fileno()) == 4
    assert buf.append_from_fd(pair[1].fileno()) == 0
    assert buf == b"last"


def test_reading_takes_at_most_max_bytes(pair: Pair) -> None:
    pair[0].send(b"hello world")
    buf = IOBuf(b"> ")
    assert buf.append_from_fd(pair[1].fileno(), 5) == 5
    assert buf == b"> hello"


def test_read_from_an_empty_descriptor_raises_blocking_io_error(pair: Pair) -> None:
    buf = IOBuf(b"kept")
    with pytest.raises(BlockingIOError):
        buf.append_from_fd(pair[1].fileno())
    assert buf == b"kept"


def test_many_small_reads_share_few_blocks(pair: Pair) -> None:
    data = content(20_000)
    buf = IOBuf()
    pair[0].send(data[:1])
    buf.append_from_fd(pair[1].fileno())
    twin = buf.copy()
    for i in range(1, len(data)):
        pair[0].send(data[i : i + 1])
        buf.append_from_fd(pair[1].fileno())
    assert buf == data
    assert buf.block_count <= 10
    assert twin == data[:1]


def test_small_reads_after_consuming_are_appended_in_order(pair: Pair) -> None:
    buf = IOBuf(b"abc")
    buf.pop_front(2)
    pair[0].send(b"def")
    buf.append_from_fd(pair[1].fileno())
    assert buf == b"cdef"
    assert len(buf) == 4


def test_cut_into_fd_tiny(pair: Pair) -> None:
    """bRPC: cut_into_fd_tiny."""
    buf = IOBuf(content(10))
    buf.pop_front(1)
    assert buf.cut_into_fd(pair[0].fileno()) == 9
    assert not buf
    assert pair[1].recv(100) == content(10)[1:]


def test_cut_into_fd_of_an_empty_buffer_makes_no_call() -> None:
    assert IOBuf().cut_into_fd(-1) == 0
    assert cut_multiple_into_fd(-1, [IOBuf(), IOBuf()]) == 0
    assert cut_multiple_into_fd(-1, []) == 0


def test_cut_into_fd_stops_at_the_size_hint(pair: Pair) -> None:
    buf = blocks_of(content(100), 10)
    assert buf.cut_into_fd(pair[0].fileno(), 35) == 40
    assert buf == content(100)[40:]


def test_cut_into_fd_offers_at_most_iov_max_blocks(pair: Pair) -> None:
    buf = blocks_of(content(IOV_MAX + 5), 1)
    assert buf.cut_into_fd(pair[0].fileno()) == IOV_MAX
    assert len(buf) == 5


@pytest.mark.parametrize("block_size", [97, 1500, 10_000, 400_000])
def test_cut_into_fd_a_lot_of_data(small_pair: Pair, block_size: int) -> None:
    """bRPC: cut_into_fd_a_lot_of_data."""
    ours, theirs = small_pair
    data = content(307_777)
    buf = blocks_of(data, block_size)
    received = pump(lambda: buf.cut_into_fd(ours.fileno()), lambda: len(buf), theirs)
    assert received == data


def test_cut_multiple_into_fd_tiny(pair: Pair) -> None:
    """bRPC: cut_multiple_into_fd_tiny."""
    data = content(100)
    bufs = [IOBuf(data[i : i + 10]) for i in range(0, 100, 10)]
    assert cut_multiple_into_fd(pair[0].fileno(), bufs) == 100
    assert not any(bufs)
    received = IOBuf()
    assert received.append_from_fd(pair[1].fileno()) == 100
    assert received == data


def test_cut_multiple_skips_empty_and_consumed_parts(pair: Pair) -> None:
    bufs = [IOBuf(), IOBuf(b"xxab"), IOBuf(), blocks_of(b"cdef", 1), IOBuf()]
    bufs[1].pop_front(2)
    assert cut_multiple_into_fd(pair[0].fileno(), bufs) == 6
    assert pair[1].recv(100) == b"abcdef"
    assert not any(bufs)


@pytest.mark.parametrize(("count", "blocks"), [(IOV_MAX + 3, 1), (3, IOV_MAX - 1), (1, 3000)])
def test_cut_multiple_offers_at_most_iov_max_blocks(pair: Pair, count: int, blocks: int) -> None:
    data = content(count * blocks)
    bufs = [blocks_of(data[i : i + blocks], 1) for i in range(0, len(data), blocks)]
    assert cut_multiple_into_fd(pair[0].fileno(), bufs) == IOV_MAX
    assert pair[1].recv(4096) == data[:IOV_MAX]
    assert b"".join(map(bytes, bufs)) == data[IOV_MAX:]


@pytest.mark.parametrize("block_size", [80, 1500, 10_000])
def test_cut_multiple_a_lot_of_data(small_pair: Pair, block_size: int) -> None:
    ours, theirs = small_pair
    data = content(307_777)
    step = block_size * 3 // 2
    bufs = [blocks_of(data[i : i + step], block_size) for i in range(0, len(data), step)]
    received = pump(
        lambda: cut_multiple_into_fd(ours.fileno(), bufs), lambda: sum(map(len, bufs)), theirs
    )
    assert received == data


@pytest.mark.parametrize("block_size", [80, 4000])
@pytest.mark.parametrize("taken", [0, 1, 79, 80, 81, 4000, 4001, 11_999, 12_000])
def test_cut_multiple_pops_exactly_the_bytes_written(
    monkeypatch: pytest.MonkeyPatch, block_size: int, taken: int
) -> None:
    data = content(12_000)
    bufs = [blocks_of(data[i : i + 6000], block_size) for i in (0, 6000)]
    offered: list[bytes] = []

    def take(fd: int, blocks: list[bytes], size_bytes: int) -> int:
        offered.extend(blocks)
        assert sum(map(len, blocks)) == size_bytes
        return taken

    monkeypatch.setattr(gather, "write_blocks", take)
    assert cut_multiple_into_fd(0, bufs) == taken
    assert b"".join(offered) == data
    assert b"".join(map(bytes, bufs)) == data[taken:]
    assert sum(map(len, bufs)) == len(data) - taken


@pytest.mark.parametrize(
    ("sizes", "call"),
    [
        ([80] * 1000, "write"),
        ([80, 80], "write"),
        ([100_000], "write"),
        ([1024] * 4, "writev"),
        ([80] * 10 + [100_000], "writev"),
        ([1000] * 1000, "writev"),
    ],
)
def test_short_blocks_are_joined_and_long_ones_are_not(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], call: str
) -> None:
    calls: list[str] = []

    def record(name: str, size: int) -> int:
        calls.append(name)
        return size

    monkeypatch.setattr(os, "write", lambda _, data: record("write", len(data)))
    monkeypatch.setattr(os, "writev", lambda _, data: record("writev", sum(map(len, data))))
    blocks: list[bytes | memoryview] = [content(size) for size in sizes]
    assert fd_io.write_blocks(1, blocks, sum(sizes)) == sum(sizes)
    assert calls == [call]


def test_write_to_a_full_socket_raises_and_pops_nothing(small_pair: Pair) -> None:
    fd = small_pair[0].fileno()
    filler = IOBuf(content(1 << 20))
    with contextlib.suppress(BlockingIOError):
        while filler:
            filler.cut_into_fd(fd)
    bufs = [IOBuf(b"ab"), blocks_of(b"cdef", 2)]
    with pytest.raises(BlockingIOError):
        cut_multiple_into_fd(fd, bufs)
    with pytest.raises(BlockingIOError):
        bufs[1].cut_into_fd(fd)
    assert bufs == [b"ab", b"cdef"]


def test_write_to_a_closed_peer_raises_and_pops_nothing(pair: Pair) -> None:
    pair[1].close()
    buf = IOBuf(b"kept")
    with pytest.raises(BrokenPipeError):
        buf.cut_into_fd(pair[0].fileno())
    assert buf == b"kept"


def test_iobuf_is_written_to_and_read_from_a_file() -> None:
    """bRPC: append_store_append_cut."""
    data = content(200_000)
    reader, writer = os.pipe()
    try:
        sent, received = blocks_of(data, 777), IOBuf()
        while sent:
            sent.cut_into_fd(writer, 4096)
            received.append_from_fd(reader, 65536)
    finally:
        os.close(reader)
        os.close(writer)
    assert received == data


@pytest.mark.parametrize(("told", "most"), [(16, 16), (-1, 1024), (OSError(), 1024)])
def test_iov_max_is_the_limit_of_the_system(
    monkeypatch: pytest.MonkeyPatch, told: int | OSError, most: int
) -> None:
    def sysconf(name: str) -> int:
        assert name == "SC_IOV_MAX"
        if isinstance(told, OSError):
            raise told
        return told

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert fd_io._iov_max() == most
