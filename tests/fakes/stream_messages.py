"""Messages of a StreamCore, put and taken without a user."""

from __future__ import annotations

from pybrpc.streams.core import StreamCore
from pybrpc.streams.outgoing import Outgoing
from tests.fakes.streams import Ended


def take_all(core: StreamCore) -> list[bytes]:
    found = []
    while (message := core.take()) is not None:
        found.append(message)
    return found


def enqueue(core: StreamCore, *messages: bytes) -> tuple[Outgoing, Ended]:
    wait = Ended()
    outgoing = Outgoing(messages, wait)
    core.enqueue(outgoing)
    return outgoing, wait
