"""RandomFaults: a plan that draws faults at random; equal seeds give equal faults."""

from __future__ import annotations

import dataclasses
import random

from pybrpc.testing.faulty_proxy.faults import (
    NO_FAULTS,
    CutAt,
    Delay,
    DropFrom,
    End,
    Fault,
    Faults,
    HalfCloseAt,
    Refuse,
    ResetAt,
    Slow,
    Stall,
)

ENDS: tuple[type[End], ...] = (CutAt, ResetAt, HalfCloseAt, DropFrom)
KINDS: tuple[type, ...] = (Stall, Slow, Delay, *ENDS, Refuse)


@dataclasses.dataclass(frozen=True, slots=True)
class RandomFaults:
    """A plan for a FaultyProxy: the faults of the n-th connection depend on `seed` and n.

    rate         the share of connections that get a fault, from 0 to 1
    most_bytes   faults strike after at most this many bytes; small numbers are as likely as large
                 ones, so that headers are hit as often as bodies
    longest_s    of a stall; a delay is at most a tenth of it
    kinds        the kinds of faults that are drawn, all equally likely
    """

    seed: int = 0
    rate: float = 0.5
    most_bytes: int = 1 << 20
    longest_s: float = 1.0
    kinds: tuple[type, ...] = KINDS

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate is a share from 0 to 1, not {self.rate!r}")
        if self.most_bytes < 1 or not self.longest_s > 0:
            raise ValueError("most_bytes must be at least 1 and longest_s above 0")
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            names = ", ".join(kind.__name__ for kind in KINDS)
            raise ValueError(f"kinds must be some of {names}")

    def __call__(self, connection_number: int) -> Faults:
        source = random.Random(f"{self.seed}/{connection_number}")
        if source.random() >= self.rate:
            return NO_FAULTS
        kind = source.choice(self.kinds)
        if kind is Refuse:
            return Faults(refuse=Refuse(resets=source.random() < 0.5))
        fault = self._draw(kind, source)
        if source.random() < 0.5:
            return Faults(to_server=[fault])
        return Faults(to_client=[fault])

    def _draw(self, kind: type, source: random.Random) -> Fault:
        if kind is Delay:
            return Delay(source.uniform(0.001, 0.1) * self.longest_s)
        after_bytes = int(self.most_bytes ** source.random()) - 1
        if kind is Stall:
            return Stall(after_bytes, source.uniform(0.01, 1.0) * self.longest_s)
        if kind is Slow:
            # Chunks from a byte to some KiB, about a hundred of them a second.
            chunk_bytes = 1 << source.randrange(14)
            return Slow(chunk_bytes * source.uniform(30, 300), chunk_bytes)
        return next(end(after_bytes) for end in ENDS if end is kind)
