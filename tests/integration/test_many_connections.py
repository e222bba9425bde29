"""A thousand connections on which nothing happens cost a server little, and disturb nobody.

bench/experiments/many_connections.py is the same with ten thousand, and has the figures.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest

import pybrpc
from pybrpc.server import Supervisor
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.supervised import pids_of, supervised

COUNT = 1000
MOST_BYTES = 16 * 1024
"""Memory of the server for each connection; 4 KiB were measured."""
MOST_THREADS = 50


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Enough of them, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = COUNT + 256
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"at most {hard} descriptors are allowed here")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory_bytes(pid: int) -> int:
    """Resident."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def thread_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def wait_for_connections(supervisor: Supervisor, count: int) -> None:
    wait_until(lambda: supervisor.statistics().total.connections == count)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
@pytest.mark.parametrize("app", ["make_server", "make_async_server"])
def test_idle_connections_cost_little_memory_and_no_thread(app: str) -> None:
    with supervised(app) as supervisor:
        endpoint = supervisor.endpoint
        (pid,) = pids_of(supervisor)
        with pybrpc.Channel(str(endpoint), timeout=30) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            assert stub.Echo(echo_request("before")).message == "before"
            memory_before, threads_before = memory_bytes(pid), thread_count(pid)
            with contextlib.ExitStack() as stack:
                for _ in range(COUNT):
                    sock = socket.create_connection((endpoint.host, endpoint.port), timeout=30)
                    stack.enter_context(sock)
                wait_for_connections(supervisor, COUNT + 1)
                assert (memory_bytes(pid) - memory_before) / COUNT < MOST_BYTES
                assert thread_count(pid) - threads_before < MOST_THREADS
                for number in range(100):
                    assert stub.Echo(echo_request(f"beside {number}")).message
            wait_for_connections(supervisor, 1)
            assert stub.Echo(echo_request("after")).message == "after"
        assert supervisor.statistics().total.accepted == COUNT + 1
