"""StreamPlan: what both sides of the streams of one call are to do."""

from __future__ import annotations

import dataclasses
import random
from typing import Literal

from soak.on_purpose import CALLBACK_KINDS, HANDLER_KINDS, LOOP_KINDS, RATE, Kind, drawn_kind
from soak.streams.numbered import drawn_size

MOST_STREAMS = 5
MOST_MESSAGES = 60
MOST_EARLY = 5
PAUSES_S = (0.0, 0.0, 0.0, 0.0, 0.002, 0.02)
"""Seconds that a reader waits after a message; mostly none."""
MOST_PAUSED_S = 1.0
WINDOWS = (1, 1000, 100_000, 2 << 20, 0)
SEGMENTS = (500, 1 << 20)

Receiving = Literal["recv", "batches", "iteration", "functions"]
RECEIVING: tuple[Receiving, ...] = ("recv", "batches", "iteration", "functions")
End = Literal["close", "reset", "raise", "leave", "wait"]
ENDS: tuple[End, ...] = ("close", "close", "close", "close", "reset", "raise", "leave", "wait")
"""close: when all was consumed; reset: half-way; raise: half-way, out of the block or body;
leave: half-way, dropped without an end; wait: the other side is to close."""
HALF_WAY = ("reset", "raise", "leave")


@dataclasses.dataclass(frozen=True, slots=True)
class SidePlan:
    """Behaviour of one side with each stream of the call."""

    sizes: tuple[int, ...]
    """Bytes of each message that it sends."""
    sends_many: bool
    receiving: Receiving
    end: End
    pause_s: float
    window: int
    segment: int
    messages_in_batch: int
    raises: Kind | None
    """Exception of `on_messages`."""
    raises_at_end: Kind | None
    """Exception of `on_closed`."""

    @property
    def is_told_of_end(self) -> bool:
        """Whether it has an `on_closed`."""
        return self.end != "leave"

    @property
    def has_functions(self) -> bool:
        return self.receiving == "functions"


@dataclasses.dataclass(frozen=True, slots=True)
class StreamPlan:
    """The plan of one call. `early`: how many messages the handler sends before it answers."""

    streams: int
    client: SidePlan
    server: SidePlan
    client_is_first: bool
    """Whether the client sends first, if they take turns."""
    early: int
    handler_raises: Kind | None
    """After it has accepted the streams."""


def drawn_plan(source: random.Random, is_async: bool) -> StreamPlan:
    """`is_async`: whether the functions of the client run in a loop."""
    client = _drawn_side(source, LOOP_KINDS if is_async else CALLBACK_KINDS)
    server = _drawn_side(source, LOOP_KINDS)
    if client.end == server.end == "wait":
        server = dataclasses.replace(server, end="close")
    if server.has_functions and not client.sizes:
        client = dataclasses.replace(client, sizes=(10,))  # to which they reply
    return StreamPlan(
        streams=1 if source.random() < 0.6 else source.randint(2, MOST_STREAMS),
        client=client,
        server=server,
        client_is_first=server.has_functions or source.random() < 0.5,
        early=min(len(server.sizes), source.choice((0, 0, 1, MOST_EARLY))),
        handler_raises=drawn_kind(source, tuple(HANDLER_KINDS.values())),
    )


def _drawn_side(source: random.Random, kinds: tuple[Kind, ...]) -> SidePlan:
    receiving, end = source.choice(RECEIVING), source.choice(ENDS)
    if end == "leave" and receiving == "functions":
        receiving = "recv"  # a stream with functions is not dropped: it is given to them
    return SidePlan(
        sizes=tuple(drawn_size(source) for _ in range(int(MOST_MESSAGES ** source.random()) - 1)),
        sends_many=source.random() < 0.5,
        receiving=receiving,
        end=end,
        pause_s=source.choice(PAUSES_S),
        window=source.choice(WINDOWS),
        segment=source.choice(SEGMENTS),
        messages_in_batch=source.choice((1, 10, 128)),
        raises=drawn_kind(source, kinds) if source.random() < 10 * RATE else None,
        raises_at_end=drawn_kind(source, kinds),
    )
