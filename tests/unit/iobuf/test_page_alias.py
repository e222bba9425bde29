"""Long blocks at bad addresses are detected, and written completely with two calls."""

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
"""The offset of the long block in its page."""


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
def test_block_lies_badly_if_its_target_is_1_to_15_bytes_ahead(
    long_block: memoryview, behind: int, is_bad: bool, pages: int
) -> None:
    before = bytes(behind + pages * mmap.PAGESIZE)
    assert lie_badly([before, long_block]) is is_bad
    assert lie_badly([before[:9], before[9:], long_block]) is is_bad


def test_short_blocks_never_lie_badly(long_block: memoryview) -> None:
    assert not lie_badly([bytes(AT + 1), long_block[: LONG_BYTES - 1]])


def test_address_of_a_view_is_that_of_its_first_byte() -> None:
    data = bytearray(100)
    assert address_of(memoryview(data)[7:]) == address_of(data) + 7


@pytest.mark.parametrize(
    "sizes", [(57, 300_000), (FIRST_BYTES, 5), (FIRST_BYTES - 1, 1, 1), (40_000, 9)]
)
def test_parts_contain_all_bytes(sizes: tuple[int, ...]) -> None:
    blocks = [os.urandom(size) for size in sizes]
    first, rest = part(blocks)
    assert sum(map(len, first)) == FIRST_BYTES
    assert b"".join([*first, *rest]) == b"".join(blocks)
    assert all([*first, *rest])


def test_bytes_of_two_writes_arrive_in_order(
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
def test_two_writes_to_a_full_socket_return_the_bytes_it_took(
    pair: tuple[socket.socket, socket.socket], long_block: memoryview, send_buffer_bytes: int
) -> None:
    """The socket may be full in either write. There is no error if bytes were written."""
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


def test_error_of_the_second_write_is_raised_by_the_next_call(
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


def test_second_write_is_omitted_if_the_first_was_incomplete(
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
def test_has_fault_recognizes_the_processors_with_the_fault(cpuinfo: str, has_it: bool) -> None:
    assert has_fault(cpuinfo) is has_it
