"""Three servers behind one channel. One of them stops, and no call fails.

python examples/failover.py
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from texts import SERVICE, Text

import pybrpc

CALLS = 300


class Named:
    """Says which server it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def Say(self, request: Any, controller: pybrpc.Controller) -> Any:
        return Text(value=self._name)


def start(name: str, servers: contextlib.ExitStack) -> pybrpc.Server:
    server = servers.enter_context(pybrpc.Server())
    server.add_service(SERVICE, Named(name))
    server.start("127.0.0.1:0")
    return server


def call_many(say: Any) -> None:
    answered = Counter(say(Text()).value for _ in range(CALLS))
    print(", ".join(f"{name}: {count}" for name, count in sorted(answered.items())))


def main() -> None:
    with contextlib.ExitStack() as servers:
        running = [start(name, servers) for name in ("A", "B", "C")]
        addresses = [str(server.endpoint) for server in running]
        with pybrpc.Channel(addresses, load_balancer="rr", timeout=5) as channel:
            say = pybrpc.Stub(SERVICE, channel).Say
            call_many(say)
            print("B stops")
            running[1].stop()
            call_many(say)
            for status, name in zip(channel.servers(), "ABC", strict=True):
                print(name, "is", "up" if status.state == "up" else "not up")


if __name__ == "__main__":
    main()
