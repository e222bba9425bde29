"""StreamBook: both sides of every stream, and each message that went over it.

Client and server are in one process, so what one side has received is compared with what the other
one has sent, at once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
import time
from collections import Counter, OrderedDict

from pybrpc.errors import (
    RpcError,
    RpcTimeoutError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from soak.ledger import EXPECTED_CODES, MOST_NOTES, kind_of
from soak.streams.numbered import unpack
from soak.streams.plan import SidePlan, StreamPlan

MOST_WAITING = 500
"""Calls that have ended for the client, and that the server may still begin."""


@dataclasses.dataclass(frozen=True, slots=True)
class StreamTotals:
    """The book at one moment. From `damaged` on, all must be 0."""

    opened: int = 0
    """Sides of streams."""
    sent: int = 0
    received: int = 0
    """Messages."""
    proofs: int = 0
    """Times that all was proved to have arrived: by a `wait_consumed`, or a clean end."""
    ends: dict[str, int] = dataclasses.field(default_factory=dict)
    """Sides by how they have ended."""
    damaged: int = 0
    """Messages that were nobody's, of another stream, or changed."""
    disordered: int = 0
    """Messages that came twice, too early or too late."""
    missing: int = 0
    """Times that a message had not come, though it was consumed, or its stream closed after it."""
    ended_twice: int = 0
    unended: int = 0
    """Sides whose `on_closed` was never called; until all have ended, also those that are open."""
    unexplained: int = 0
    """Errors that nothing explains which was done to the stream or its connection."""
    notes: tuple[str, ...] = ()

    @property
    def must_be_0(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in STREAM_DEFECTS}


STREAM_DEFECTS = {
    "damaged": "messages were changed, or came over another stream",
    "disordered": "messages came twice, too early or too late",
    "missing": "times messages had not come that were consumed, or before a clean end",
    "ended_twice": "sides got `on_closed` twice or more",
    "unended": "sides never got `on_closed`",
    "unexplained": "errors that nothing explains",
}
"""By the name in StreamTotals, in words."""


class Side:
    """One side of one stream. Used by one thread or task at a time, but for what others read."""

    __slots__ = (
        "_book",
        "call",
        "ended",
        "failure",
        "index",
        "is_client",
        "is_closing",
        "is_over",
        "loop",
        "may_reset",
        "received",
        "sent",
        "tried",
    )

    def __init__(self, book: StreamBook, call: StreamedCall, is_client: bool) -> None:
        self._book = book
        self.call = call
        self.is_client = is_client
        self.index: int | None = None
        self.sent = 0
        self.tried = 0
        """Messages that were, or may have been, sent."""
        self.received = 0
        self.is_closing = False
        """Whether this side is about to close it."""
        self.may_reset = False
        """Whether this side has given a reason to reset it."""
        self.ended = 0
        """How often `on_closed` was called."""
        self.is_over = False
        self.failure: RpcError | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop of its functions, if a server may close it: then they are not called."""

    @property
    def plan(self) -> SidePlan:
        return self.call.plan.client if self.is_client else self.call.plan.server

    @property
    def other(self) -> Side | None:
        """The other side; `None` if it is not known yet."""
        sides = self.call.server if self.is_client else self.call.client
        found = [side for side in list(sides.values()) if side.index == self.index]
        return found[0] if found and self.index is not None else None

    # --- what has happened ---

    def on_received(self, messages: list[bytes]) -> None:
        for message in messages:
            self._book.enter_message(self, message)

    def on_sent(self, count: int) -> None:
        """`count` messages more were sent, of those that were tried."""
        self.sent += count
        self._book.enter_sent(count)

    def on_all_arrived(self, why: str) -> None:
        """All that this side has sent must have been received."""
        self._book.enter_proof(self, self.other, why)

    def on_clean_end(self) -> None:
        """This side has received the end, which the other one has sent after all its messages."""
        other = self.other
        if other is not None and not other.is_closing:
            self._book.enter_unexplained(self, "the end, though the other side has not closed")
        elif other is not None:
            self._book.enter_proof(other, self, "the end")

    def on_error(self, error: RpcError) -> None:
        """An operation has raised it."""
        self._book.enter_error(self, error)

    def on_closed(self, error: RpcError | None) -> None:
        """The function of the options."""
        self._book.enter_end(self, error)

    def __repr__(self) -> str:
        role = "client" if self.is_client else "server"
        return f"{role} of stream {self.index} of {self.call!r}"


class StreamedCall:
    """A call that opens streams."""

    def __init__(self, book: StreamBook, number: int, plan: StreamPlan) -> None:
        self.number = number
        self.plan = plan
        self.client: dict[int, Side] = {}
        self.server: dict[int, Side] = {}
        """By the ids of their streams, which these sides have chosen."""
        self.has_failed = False
        """Whether the client has no streams, or no more."""
        self._book = book

    def side(self, is_client: bool, stream_id: int, index: int | None = None) -> Side:
        """The side of that stream, which is known from now on."""
        return self._book.side_of(self, is_client, stream_id, index)

    def on_failed(self) -> None:
        """The client has got no streams."""
        self.has_failed = True
        self._book.settle(self)

    def is_over(self) -> bool:
        """Whether nothing more happens; unless the server begins it only now."""
        sides = [*self.client.values(), *self.server.values()]
        if not all(side.is_over for side in sides):
            return False
        return self.has_failed or len(self.client) == self.plan.streams

    def __repr__(self) -> str:
        return f"call {self.number} ({self.plan})"


class StreamBook:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._calls: dict[int, StreamedCall] = {}
        self._waiting: OrderedDict[int, StreamedCall] = OrderedDict()
        """Those that are over for the client; the server may not have begun them."""
        self._numbers_of: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._notes: list[str] = []

    def begin(self, plan: StreamPlan) -> StreamedCall:
        with self._lock:
            call = StreamedCall(self, next(self._numbers), plan)
            self._calls[call.number] = call
            return call

    def find(self, number: int) -> StreamedCall | None:
        """The call of that number; `None` if it was over long ago."""
        with self._lock:
            return self._calls.get(number) or self._waiting.get(number)

    def side_of(
        self, call: StreamedCall, is_client: bool, stream_id: int, index: int | None
    ) -> Side:
        """See `StreamedCall.side`."""
        with self._lock:
            sides = call.client if is_client else call.server
            side = sides.get(stream_id)
            if side is None:
                side = sides[stream_id] = Side(self, call, is_client)
                self._numbers_of["opened"] += 1
                if call.number in self._waiting:  # the server begins it now
                    self._calls[call.number] = self._waiting.pop(call.number)
            if index is not None:
                if side.index not in (None, index):
                    self._count("damaged", f"{side!r} is stream {index}")
                side.index = index
            return side

    def enter_message(self, side: Side, message: bytes) -> None:
        """`side` has received it."""
        try:
            number, index, is_client, place = unpack(message)
        except ValueError as error:
            with self._lock:
                self._count("damaged", f"{side!r} has got {error}")
            return
        with self._lock:
            if side.index is None:
                side.index = index
            if (number, index, is_client) != (side.call.number, side.index, not side.is_client):
                self._count("damaged", f"{side!r} has got a message of {number}, stream {index}")
                return
            other = side.other
            if place != side.received or (other is not None and place >= other.tried):
                self._count("disordered", f"{side!r} has got {place}, expected {side.received}")
            side.received = place + 1
            self._numbers_of["received"] += 1

    def enter_sent(self, count: int) -> None:
        with self._lock:
            self._numbers_of["sent"] += count

    def enter_proof(self, sender: Side, receiver: Side | None, why: str) -> None:
        """All that `sender` has sent must have come."""
        with self._lock:
            self._numbers_of["proofs"] += 1
            received = 0 if receiver is None else receiver.received
            if received != sender.sent:
                self._count("missing", f"{sender!r}: {received} of {sender.sent} came before {why}")

    def enter_error(self, side: Side, error: RpcError) -> None:
        """An operation of `side` has raised it."""
        if not is_expected(error):
            self.enter_unexplained(side, repr(error))

    def enter_unexplained(self, side: Side, what: str) -> None:
        with self._lock:
            self._count("unexplained", f"{side!r} has got {what}")

    def enter_end(self, side: Side, error: RpcError | None) -> None:
        with self._lock:
            side.ended += 1
            if side.ended > 1:
                self._count("ended_twice", f"{side!r} has ended {side.ended} times")
                return
            side.failure = error
            if error is not None and isinstance(error.__cause__, RpcTimeoutError):
                side.may_reset = True  # its idle timeout
            self._ends["closed" if error is None else kind_of(error)] += 1
            if error is not None and not is_expected(error):
                self._count("unexplained", f"{side!r} has ended with {error!r}")
        # Another thread may have taken the last message just now, if it receives them itself.
        is_all_noted = side.plan.has_functions
        if error is None and is_all_noted and not side.is_closing and not side.may_reset:
            side.on_clean_end()
        self.over(side)

    def over(self, side: Side) -> None:
        """Nothing more happens to `side`: its `on_closed` was called, or it has none."""
        with self._lock:
            side.is_over = True
            self.settle(side.call)

    def settle(self, call: StreamedCall) -> None:
        """Forget the call if it is over, and judge its resets."""
        with self._lock:
            if not call.is_over() or self._calls.pop(call.number, None) is None:
                return
            self._judge(call)
            if len(call.server) < call.plan.streams:
                self._waiting[call.number] = call
                while len(self._waiting) > MOST_WAITING:
                    self._waiting.popitem(last=False)

    def totals(self) -> StreamTotals:
        with self._lock:
            open_sides = [
                side
                for call in self._calls.values()
                for side in (*call.client.values(), *call.server.values())
                if not side.is_over and not (side.loop is not None and side.loop.is_closed())
            ]
            notes = [*self._notes, *(f"not ended: {side!r}" for side in open_sides)]
            return StreamTotals(
                **self._numbers_of,
                unended=len(open_sides),
                ends=dict(self._ends.most_common()),
                notes=tuple(notes[:MOST_NOTES]),
            )

    def wait_over(self, limit_s: float) -> None:
        """Wait until all streams have ended, at most so long."""
        end = time.monotonic() + limit_s
        while self.totals().unended and time.monotonic() < end:
            time.sleep(0.01)

    def _judge(self, call: StreamedCall) -> None:
        """Whether each reset had a reason. With the lock."""
        for sides, others in ((call.client, call.server), (call.server, call.client)):
            for side in sides.values():
                error = side.failure
                if not isinstance(error, StreamResetError):
                    continue
                reasons = others.values() if error.is_remote else (side,)
                has_reason = any(each.may_reset for each in reasons)
                if not has_reason and not (error.is_remote and call.has_failed):
                    self._count("unexplained", f"{side!r} was reset: {error!r}")

    def _count(self, name: str, note: str) -> None:
        self._numbers_of[name] += 1
        if len(self._notes) < MOST_NOTES:
            self._notes.append(note)


def is_expected(error: RpcError) -> bool:
    """Whether it is explained by what sides do to streams, and faults to connections."""
    if not error.peer:
        return False
    of_stream = isinstance(error, StreamClosedError | StreamResetError | StreamTimeoutError)
    return of_stream or error.code in EXPECTED_CODES
