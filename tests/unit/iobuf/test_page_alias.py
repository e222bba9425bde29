"""Long blocks that lie badly are seen, and written apart with nothing lost."""

from __future__ import annotations

import mmap
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from pybrpc.iobuf import IOBuf, cut_multiple_into_fd, page_alias
from pybrpc.iobuf.page_alias import FIRST_BYTES, LONG_BYTES, has_fault, lie_badly, part
from pybrpc.iobuf.user_data import address_of

AT = 48
"""Where in its page the long block begins."""


@pytest.fixture(scope="module")
def long_block() -> memoryview:
    pages = bytearray(2 * LONG_BYTES + mmap.PAGESIZE)
    pages[:] = os.urandom(len(pages))
    start = (AT - address_of(pages)) % mmap.PAGESIZE
    return memoryview(pages).toreadonly()[start : start + 2 * LONG_BYTES]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    monkeypatch.setattr(page_alias, "HAS_FAULT", True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    ("behind", "is_bad"), [(AT, False), (AT + 1, True), (AT + 15, True), (AT + 16, False)]
)
@pytest.mark.parametrize("pages", [0, 3])
def test_bad_is_a_target_1_to_15_bytes_ahead(
    long_block: memoryview, behind: int, is_bad: bool, pages: int
) -> None:
    before = bytes(behind + pages * mmap.PAGESIZE)
    assert lie_badly([before, long_block]) is is_bad
    assert lie_badly([before[:9], before[9:], long_block]) is is_bad


def test_short_blocks_may_lie_as_they_like(long_block: memoryview) -> None:
    assert not lie_badly([bytes(AT + 1), long_block[: LONG_BYTES - 1]])


def test_the_address_of_a_view_is_that_of_its_first_byte() -> None:
    data = bytearray(100)
    assert address_of(memoryview(data)[7:]) == address_of(data) + 7


@pytest.mark.parametrize(
    "sizes", [(57, 300_000), (FIRST_BYTES, 5), (FIRST_BYTES - 1, 1, 1), (40_000, 9)]
)
def test_both_parts_are_the_whole(sizes: tuple[int, ...]) -> None:
    blocks = [os.urandom(size) for size in sizes]
    first, rest = part(blocks)
    assert sum(map(len, first)) == FIRST_BYTES
    assert b"".join([*first, *rest]) == b"".join(blocks)
    assert all([*first, *rest])


def test_what_is_written_apart_arrives_whole(
    pair: tuple[socket.socket, socket.socket], long_block: memoryview
) -> None:
    ours, theirs = pair
    buf = IOBuf(bytes(AT + 9))
    buf.append(long_block)
    expected = bytes(buf)
    received = bytearray()

    def receive() -> None:
        while len(received) < len(expected) and (data := theirs.recv(1 << 20)):
            received.extend(data)

    receiver = threading.Thread(target=receive)
    receiver.start()
    while buf:
        cut_multiple_into_fd(ours.fileno(), [buf])
    ours.shutdown(socket.SHUT_WR)
    receiver.join()
    assert received == expected


@pytest.mark.parametrize("send_buffer_bytes", [4096, 64 * 1024])
def test_a_full_socket_takes_what_it_has_room_for(
    pair: tuple[socket.socket, socket.socket], long_block: memoryview, send_buffer_bytes: int
) -> None:
    """It is full in the first write, or in the second one: never an error after bytes went."""
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    ours.setblocking(False)
    theirs.setblocking(False)
    buf = IOBuf(bytes(AT + 9))
    buf.append(long_block)
    expected = bytes(buf)
    received = bytearray()
    partial = 0
    while buf:
        try:
            before = len(buf)
            count = cut_multiple_into_fd(ours.fileno(), [buf])
            assert 0 < count == before - len(buf)
            partial += bool(buf)
        except BlockingIOError:
            assert len(buf) == before
        received += received_now(theirs)
    assert partial
    ours.shutdown(socket.SHUT_WR)
    theirs.setblocking(True)
    while data := theirs.recv(1 << 20):
        received += data
    assert received == expected


def received_now(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


def test_an_error_of_the_second_write_is_told_by_the_next(
    pair: tuple[socket.socket, socket.socket],
    long_block: memoryview,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, _ = pair
    writev = os.writev

    def write_then_shut(fd: int, blocks: list[memoryview]) -> int:
        count = writev(fd, blocks)
        ours.shutdown(socket.SHUT_WR)
        return count

    monkeypatch.setattr(os, "writev", write_then_shut)
    buf = IOBuf(bytes(AT + 9))
    buf.append(long_block)
    assert cut_multiple_into_fd(ours.fileno(), [buf]) == FIRST_BYTES
    with pytest.raises(BrokenPipeError):
        cut_multiple_into_fd(ours.fileno(), [buf])


def test_nothing_follows_a_first_write_that_was_cut_short(
    pair: tuple[socket.socket, socket.socket],
    long_block: memoryview,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pair
    monkeypatch.setattr(os, "writev", lambda fd, blocks: os.write(fd, blocks[0][:10]))
    buf = IOBuf(b"0123456789" * 5 + bytes(AT + 9 - 50))
    buf.append(long_block)
    assert cut_multiple_into_fd(ours.fileno(), [buf]) == 10
    assert theirs.recv(100) == b"0123456789"
    assert len(buf) == AT + 9 - 10 + len(long_block)


@pytest.mark.parametrize(
    ("cpuinfo", "has_it"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu erms fsrm avx512f\n", True),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu erms avx2\n", False),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu erms fsrm avx512f\n", False),
        ("", False),
    ],
)
def test_which_processors_have_the_fault(cpuinfo: str, has_it: bool) -> None:
    assert has_fault(cpuinfo) is has_it
