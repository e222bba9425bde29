"""A server and a client in one process, and the four ways to call.

python examples/hello.py
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from texts import SERVICE, Text

import pybrpc


class Greeter:
    """Answers each name with a greeting."""

    def Say(self, request: Any, controller: pybrpc.Controller) -> Any:
        return Text(value=f"Hello, {request.value}!")


def call_from_threads(address: str) -> None:
    with pybrpc.Channel(address, timeout=5) as channel:
        say = pybrpc.Stub(SERVICE, channel).Say

        print(say(Text(value="thread")).value)

        future = say.future(Text(value="future"))
        print(future.result().value)

        called = threading.Event()

        def done(reply: Any, error: Exception | None) -> None:
            print(reply.value if error is None else error)
            called.set()

        say.with_callback(Text(value="callback"), done)
        called.wait()


async def call_from_asyncio(address: str) -> None:
    async with pybrpc.aio.Channel(address, timeout=5) as channel:
        say = pybrpc.Stub(SERVICE, channel).Say
        names = ("task 1", "task 2")
        for reply in await asyncio.gather(*(say(Text(value=name)) for name in names)):
            print(reply.value)


def main() -> None:
    with pybrpc.Server() as server:
        server.add_service(SERVICE, Greeter())
        address = str(server.start("127.0.0.1:0"))
        call_from_threads(address)
        asyncio.run(call_from_asyncio(address))


if __name__ == "__main__":
    main()
