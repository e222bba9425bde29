"""Many small blocks and many queued requests cost no more each than few."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from pybrpc.errors import OvercrowdedError
from pybrpc.lowlevel import EpollDispatcher, IOBuf, Socket
from tests.cases.child import run_in_child

FEW, MANY = 5_000, 80_000


def seconds_to_cut(count: int) -> float:
    """CPU seconds of this thread to cut `count` small blocks out of a buffer one by one."""
    buffer = IOBuf()
    for _ in range(count):
        buffer.append(b"0123456789")
    began_at = time.thread_time()
    while buffer:
        buffer.cutn(10)
    return time.thread_time() - began_at


def test_cutting_through_small_blocks_is_linear() -> None:
    few = min(seconds_to_cut(FEW) for _ in range(5))
    assert seconds_to_cut(MANY) / MANY < 3 * few / FEW


def free_a_long_queue(stack_kib: int) -> int:
    """Write what fills the queue of a socket whose peer then reads it all."""
    threading.stack_size(stack_kib * 1024)
    dispatcher = EpollDispatcher()
    dispatcher.start()
    near, far = socket.socketpair()
    sock = Socket.of(near, dispatcher)
    size = 1 << 20
    sock.start_write(IOBuf(bytes(size)))
    try:
        while True:
            sock.start_write(IOBuf(bytes(32)))
            size += 32
    except OvercrowdedError:
        pass
    far.settimeout(30)
    read = 0
    while read < size:
        read += len(far.recv(1 << 20))
    time.sleep(0.3)
    return size - read


@pytest.mark.slow
def test_long_queue_is_freed_on_a_small_stack() -> None:
    # A sanitizer's report about the child must not fail the whole run.
    quiet = {"ASAN_OPTIONS": "detect_leaks=0"} if "ASAN_OPTIONS" in os.environ else {}
    assert run_in_child(free_a_long_queue, 256, **quiet) == 0
