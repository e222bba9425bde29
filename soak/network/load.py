"""Load: who calls with what, at the same time, until it is told to stop."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any, Literal

import pybrpc
from bench.echo_messages import EchoRequest
from soak.ledger import EXPECTED_CODES, NO_WAY, Ledger, Ticket

MOST_BYTES = 1 << 20
TIMEOUTS_S = (0.3, 1.0, 3.0)
RETRIES = (0, 1, 3)

_BLOCK = memoryview(random.Random(2).randbytes(2 * MOST_BYTES))
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """`callers` threads or tasks, each with `window` calls at a time, of so many bytes."""

    sizes: tuple[int, int]
    callers: int = 4
    window: int = 1
    connection_type: Literal["single", "pooled", "short"] = "single"
    over_streams: bool = False
    """Whether each call is a message of a stream, which is echoed."""


LOADS = {
    "connect": Load((0, 100), connection_type="short"),
    "small": Load((0, 200), callers=8),
    "big": Load((MOST_BYTES // 4, MOST_BYTES), callers=3),
    "stream": Load((1_000, 30_000), callers=2, window=32),
    "messages": Load((0, 30_000), callers=4, window=16, over_streams=True),
}
"""A connection for each call; few bytes; many bytes; many calls without waiting; messages over
streams."""


class CallBook:
    """All calls of one run: the ledger, and how often each was sent again."""

    def __init__(self) -> None:
        self.ledger = Ledger(EXPECTED_CODES | NO_WAY)
        self.attempts: dict[str, int] = {}
        """By the name of a completed call: how often it may have been sent."""
        self.answered: list[str] = []


class NumberedCall:
    """One call: no other one has its name, on either side."""

    __slots__ = ("_book", "_ticket", "controller", "request", "timeout_s")

    def __init__(self, source: random.Random, load: Load, book: CallBook) -> None:
        self.request: Any = EchoRequest(message=f"call {next(_numbers)}")
        self.timeout_s = source.choice(TIMEOUTS_S)
        self.controller = pybrpc.Controller()
        self.controller.max_retry = source.choice(RETRIES)
        start = source.randrange(MOST_BYTES)
        self.controller.request_attachment = _BLOCK[start : start + source.randint(*load.sizes)]
        self._book = book
        self._ticket: Ticket = book.ledger.start()

    def on_answer(self, response: Any) -> None:
        """Any thread."""
        self._ticket.answered(self._complaint(response))
        self._note()
        self._book.answered.append(self.request.message)

    def on_failure(self, error: BaseException) -> None:
        """Any thread."""
        self._ticket.failed(error)
        self._note()

    def _note(self) -> None:
        self._book.attempts[self.request.message] = 1 + self.controller.retried_count

    def _complaint(self, response: Any) -> str:
        name, controller = self.request.message, self.controller
        if response.message != name:
            return f"asked {name!r}, answered {response.message!r}"
        sent, got = bytes(controller.request_attachment), bytes(controller.response_attachment)
        return "" if sent == got else f"{name}: {len(sent)} bytes came back as other {len(got)}"
