"""Accounts: what a server counts, which must be nothing once nobody calls it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

import pybrpc
from pybrpc.transport.runtime import default_runtime

if TYPE_CHECKING:
    from soak.echo_server import EchoServer

SETTLE_S = 15.0
"""How long a server may take to be done with what its peers have left behind."""


class Account(NamedTuple):
    """One count: "2 connections"."""

    value: int
    unit: str

    def __str__(self) -> str:
        return f"{self.value:,} {self.unit}"


def accounts_of(server: pybrpc.Server) -> list[Account]:
    """Counts of a server that was started."""
    run = server._run
    assert run is not None
    found = server.statistics()
    return [
        Account(found.connections, "connections"),
        Account(found.running, "requests running"),
        Account(len(server.unfinished()), "requests unfinished"),
        Account(run.unanswered.size_bytes, "bytes unanswered"),
        Account(sum(each.is_held() for each in run.connections), "connections held"),
    ]


def open_accounts(servers: Collection[EchoServer]) -> list[str]:
    """The counts that don't return to zero: of the servers, of streams, and of
    what is still to be written."""

    def count() -> list[Account]:
        runtime = default_runtime()
        of_process = [
            Account(runtime.backlog.size_bytes, "bytes queued in the process"),
            Account(runtime.stream_budget.holders, "streams in the process"),
            Account(runtime.stream_budget.held_bytes, "bytes of streams unread in the process"),
        ]
        return [*of_process, *(account for server in servers for account in server.accounts())]

    earlier = [text for server in servers for text in server.unsettled]
    return [*earlier, *wait_settled(count)]


def wait_settled(count: Callable[[], list[Account]], limit_s: float = SETTLE_S) -> list[str]:
    """Wait until all counts are zero. The others, if that takes longer than `limit_s`."""
    end = time.monotonic() + limit_s
    while (found := [account for account in count() if account.value]) and time.monotonic() < end:
        gc.collect()  # streams that were left, and are part of a cycle
        time.sleep(0.05)
    return [str(account) for account in found]
