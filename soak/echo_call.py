"""EchoCall: a call whose answer can be checked, of a size from nothing to a MiB."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pybrpc
from bench.echo_messages import EchoRequest

MOST_BYTES = 1 << 20

_BLOCK = memoryview(random.Random(1).randbytes(2 * MOST_BYTES))
_numbers = itertools.count(1)


class EchoCall:
    """Request and controller of one call; no two calls send the same."""

    __slots__ = ("controller", "request")

    def __init__(self, source: random.Random) -> None:
        self.request = EchoRequest(message=f"call {next(_numbers)}")
        self.controller = pybrpc.Controller()
        size = drawn_size(source)
        start = source.randrange(MOST_BYTES)
        if size:
            self.controller.request_attachment = _BLOCK[start : start + size]

    def complaint(self, response: Any) -> str:
        """What is wrong with the answer; "" if it is what was asked for."""
        if response.message != self.request.message:
            return f"asked {self.request.message!r}, answered {response.message!r}"
        sent = self.controller.request_attachment
        got = self.controller.response_attachment
        if bytes(sent) != bytes(got):
            return f"{self.request.message}: {len(sent)} bytes came back as other {len(got)}"
        return ""


def drawn_size(source: random.Random) -> int:
    """Nothing in a third of all cases; else small sizes are as likely as large ones."""
    return 0 if source.random() < 0.33 else int(MOST_BYTES ** source.random())
