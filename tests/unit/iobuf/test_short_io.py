"""One short read and write: at once on sockets, and as `os` does them everywhere else."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from pybrpc.iobuf.short_io import SHORT_BYTES, read_short, write_short

LONG = bytes(range(256)) * (SHORT_BYTES // 128)


@pytest.fixture(params=["socket", "pipe"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Descriptors to write to and to read from, which don't block."""
    if request.param == "socket":
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.setblocking(False)
            yield near.fileno(), far.fileno()
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    yield writer, reader
    for fd in (reader, writer):
        os.close(fd)


@pytest.mark.parametrize("data", [b"x", b"x" * SHORT_BYTES, LONG, memoryview(b"view")])
def test_what_is_written_is_read(ends: tuple[int, int], data: bytes) -> None:
    writer, reader = ends
    assert write_short(writer, data) == len(data)
    assert read_short(reader, 1 << 20) == bytes(data)


def test_no_more_is_read_than_asked_for(ends: tuple[int, int]) -> None:
    writer, reader = ends
    assert write_short(writer, LONG) == len(LONG)
    assert read_short(reader, 3) == LONG[:3]
    assert read_short(reader, len(LONG) - 4) == LONG[3:-1]
    assert read_short(reader, 9) == LONG[-1:]


def test_nothing_to_read_and_no_room_are_blocking_errors(ends: tuple[int, int]) -> None:
    writer, reader = ends
    with pytest.raises(BlockingIOError):
        read_short(reader, 9)
    with pytest.raises(BlockingIOError):  # noqa: PT012 - until the buffer is full
        while True:
            write_short(writer, b"x" * 4096)


def test_end_is_empty() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.shutdown(socket.SHUT_WR)
        assert read_short(far.fileno(), 9) == b""


def test_broken_descriptor_is_an_error() -> None:
    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(BrokenPipeError):
        write_short(near.fileno(), b"x")
    with pytest.raises(OSError, match="Bad file descriptor"):
        read_short(-1, 9)


@pytest.mark.parametrize(
    "use",
    [lambda fd: read_short(fd, 100), lambda fd: write_short(fd, b"x")],
    ids=["read", "write"],
)
def test_reset_is_reported_as_such(use: Callable[[int], object]) -> None:
    """The kernel reports it once, so it must not be asked again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        with near:
            near.setblocking(False)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            select.select([near], [], [], 5)
            with pytest.raises(ConnectionResetError):
                use(near.fileno())
