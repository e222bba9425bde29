"""ThreadPoller and DirectWaiter: how a thread waits for one descriptor, and is woken."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import threading
import time

import pytest

from pybrpc.transport.dispatch.direct_waiter import (
    DirectWaiter,
    ThreadPoller,
    forget_poller,
    poller_of_thread,
)
from tests.fakes.threads import WAIT_S, in_threads
from tests.peers.alarms import raising_alarms, storm


def test_what_a_descriptor_is_ready_for() -> None:
    poller = ThreadPoller()
    near, far = socket.socketpair()
    with near, far:
        assert poller.wait(near.fileno(), select.POLLIN, 0.01) == 0
        assert poller.wait(near.fileno(), select.POLLIN | select.POLLOUT, WAIT_S) == select.POLLOUT
        far.send(b"x")
        assert poller.wait(near.fileno(), select.POLLIN, WAIT_S) == select.POLLIN
        far.close()
        assert poller.wait(near.fileno(), select.POLLIN, WAIT_S) & select.POLLIN


def test_another_thread_ends_the_wait_or_the_next_one() -> None:
    poller = ThreadPoller()
    near, far = socket.socketpair()
    with near, far:
        poller.wake()
        poller.wake()
        begun = time.monotonic()
        assert poller.wait(near.fileno(), select.POLLIN, WAIT_S) == 0
        threading.Timer(0.05, poller.wake).start()
        while time.monotonic() - begun < 0.05:
            assert poller.wait(near.fileno(), select.POLLIN, WAIT_S) == 0
        assert time.monotonic() - begun < WAIT_S


def test_each_thread_has_one_which_is_closed_when_it_ends() -> None:
    before = set(os.listdir("/proc/self/fd"))
    pollers = []

    def make(index: int) -> None:
        assert poller_of_thread() is poller_of_thread()
        pollers.append(id(poller_of_thread()))

    in_threads(2, make)
    assert len(pollers) == 2
    poller_of_thread()
    forget_poller()
    assert set(os.listdir("/proc/self/fd")) == before


def test_thread_without_a_descriptor_left_can_not_poll() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(used)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, limits[1]))
    try:
        assert not DirectWaiter().can_poll()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in taken:
            os.close(fd)
    assert DirectWaiter().can_poll()


def test_end_of_the_call_wakes_the_thread_that_polls() -> None:
    waiter = DirectWaiter()
    assert waiter.can_poll()
    near, far = socket.socketpair()
    with near, far:

        def end(index: int) -> None:
            while not waiter.is_polling:
                time.sleep(0.001)
            waiter.end()

        thread = threading.Thread(target=end, args=(0,))
        thread.start()
        waiter.is_polling = True
        while not waiter.is_over:
            assert waiter.poll(near.fileno(), select.POLLIN, WAIT_S) == 0
        waiter.is_polling = False
        thread.join()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no setitimer")
def test_signal_handler_that_raises_leaves_a_poller_that_works() -> None:
    poller = ThreadPoller()
    pairs = [socket.socketpair() for _ in range(2)]

    def wait() -> None:
        for near, _ in pairs:
            assert poller.wait(near.fileno(), select.POLLOUT, WAIT_S) == select.POLLOUT

    with raising_alarms():
        storm(wait, strokes=300)
    wait()
    for near, far in pairs:
        near.close()
        far.close()
