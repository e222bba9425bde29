"""Work: the task of a client process, which receives it as text."""

from __future__ import annotations

import dataclasses
import json

TIMEOUT_S = 10.0
"""The deadline that every call carries; one that misses it is stuck, and the measurement fails."""
SMALL_BYTES = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """How long to call before the measurement, and how long to measure; seconds."""

    warm_up_s: float
    measure_s: float

    def times(self, factor: float) -> Window:
        return Window(self.warm_up_s, self.measure_s * factor)


@dataclasses.dataclass(frozen=True, slots=True)
class ClosedLoop:
    """`in_flight` callers, each of which starts a new call when the last one has ended."""

    in_flight: int
    size_bytes: int = SMALL_BYTES


@dataclasses.dataclass(frozen=True, slots=True)
class FixedRate:
    """Calls that start when their time has come, however long the earlier ones take.

    slow_share  how many of them, from 0 to 1, ask the server to sleep for `slow_us` first
    callers     threads that call, where a thread waits for its answer; tasks are as many as needed
    big_bytes   one more thread echoes messages of this size meanwhile, which are not in the figures
    """

    per_s: int
    slow_share: float = 0.0
    slow_us: int = 5000
    callers: int = 32
    size_bytes: int = SMALL_BYTES
    big_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Flood:
    """Threads that write without a pause to a peer that doesn't read."""

    producers: int
    size_bytes: int = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class RedisGets:
    """Threads that each send several GETs together, wait for the replies, and do it again."""

    threads: int
    together: int = 1


Work = ClosedLoop | FixedRate | Flood | RedisGets

_KINDS: dict[str, type[Work]] = {
    kind.__name__: kind for kind in (ClosedLoop, FixedRate, Flood, RedisGets)
}


def as_text(work: Work) -> str:
    return json.dumps([type(work).__name__, dataclasses.asdict(work)])


def parse_work(text: str) -> Work:
    """The Work from which `as_text` made `text`."""
    kind, fields = json.loads(text)
    return _KINDS[kind](**fields)
