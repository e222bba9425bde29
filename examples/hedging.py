"""Two servers, one of which is slow, and backup requests that hide it.

python examples/hedging.py
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from texts import SERVICE, Text

import pybrpc

CALLS = 20
SLOW_S = 1.0
BACKUP_MS = 20


class Waiting:
    """Answers after a while."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s

    async def Say(self, request: Any, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(self._wait_s)
        return request


def start(wait_s: float, servers: contextlib.ExitStack) -> str:
    server = servers.enter_context(pybrpc.Server())
    server.add_service(SERVICE, Waiting(wait_s))
    return str(server.start("127.0.0.1:0"))


def count_slow_calls(addresses: list[str], **options: Any) -> int:
    """How many of the calls have waited for the slow server."""
    slow = 0
    with pybrpc.Channel(addresses, load_balancer="rr", timeout=10, **options) as channel:
        say = pybrpc.Stub(SERVICE, channel).Say
        for _ in range(CALLS):
            controller = pybrpc.Controller()
            say(Text(value="hello"), controller=controller)
            slow += controller.latency_us >= SLOW_S * 1e6
    return slow


def main() -> None:
    # Each other call needs a backup request: far more than the tenth that is allowed otherwise.
    policy = pybrpc.BackupRequestPolicy(BACKUP_MS / 1000, max_ratio=1.0)
    with contextlib.ExitStack() as servers:
        addresses = [start(0, servers), start(SLOW_S, servers)]
        print("slow without backup requests:", count_slow_calls(addresses), "of", CALLS)
        hedged = count_slow_calls(addresses, backup_request_policy=policy)
        print("slow with backup requests:", hedged, "of", CALLS)


if __name__ == "__main__":
    main()
