"""Supervisors of processes that serve `worker_apps`, and the workers that answer."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import pybrpc
from pybrpc.server import Supervisor
from tests.peers.echo import ECHO, echo_request

APPS = "tests.peers.worker_apps"
REPLACED_S = 200.0
"""Two workers, one after the other. Each may take 60 s to start, and then 30 s of grace and 5 more
to end."""


@contextlib.contextmanager
def supervised(app: str = "make_server", **options: Any) -> Iterator[Supervisor]:
    """One that runs, at an address of its own."""
    with Supervisor(f"{APPS}:{app}", **options) as supervisor:
        supervisor.start("127.0.0.1:0")
        yield supervisor


def pids_of(supervisor: Supervisor) -> set[int]:
    """Process ids of the workers that serve."""
    workers = supervisor.statistics().workers
    return {worker.pid for worker in workers if worker.state == "serving"}


def wait_replaced(supervisor: Supervisor, before: set[int], workers: int = 2) -> None:
    """Until so many workers serve, and those from before are gone. AssertionError, with what there
    is instead, after REPLACED_S.

    Not only until those were told to stop: until they hear it they accept, and answer.
    """

    def is_replaced() -> bool:
        there = {worker.pid for worker in supervisor.statistics().workers}
        return there.isdisjoint(before) and len(pids_of(supervisor)) == workers

    gives_up_at = time.monotonic() + REPLACED_S
    while not is_replaced():
        if time.monotonic() > gives_up_at:
            found = supervisor.statistics()
            raise AssertionError(f"{before} were not replaced in {REPLACED_S:g} s: {found}")
        time.sleep(0.001)


def call(address: object, message: str = "hello", **options: Any) -> str:
    """One call over a connection of its own; what was answered."""
    with pybrpc.Channel(
        str(address), **{"timeout": 30, "connect_timeout": 10, **options}
    ) as channel:
        return str(pybrpc.Stub(ECHO, channel).Echo(echo_request(message)).message)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, which is no zombie."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
