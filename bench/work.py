"""Work: the task of a client process, which receives it as text."""

from __future__ import annotations

import dataclasses
import json

TIMEOUT_S = 10.0
"""The deadline that every call carries; one that misses it is stuck, and the measurement fails."""
SMALL_BYTES = 32
SLOW_PAUSE_S = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """How long to call before the measurement, and how long to measure; seconds."""

    warm_up_s: float
    measure_s: float

    def times(self, factor: float) -> Window:
        return Window(self.warm_up_s, self.measure_s * factor)

    def with_warm_up(self) -> Window:
        """With a warm-up as long as the measurement."""
        return Window(self.measure_s, self.measure_s)


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


@dataclasses.dataclass(frozen=True, slots=True)
class StreamEcho:
    """Streams over which messages are sent and echoed, as many as the windows let go."""

    streams: int = 1
    size_bytes: int = SMALL_BYTES


@dataclasses.dataclass(frozen=True, slots=True)
class StreamPull:
    """A stream over which the server sends as much as it can."""

    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class StreamPing:
    """A stream over which one message at a time is echoed."""

    size_bytes: int = SMALL_BYTES


@dataclasses.dataclass(frozen=True, slots=True)
class StreamCrowd:
    """Streams over each of which a few messages at a time are echoed.

    has_slow_reader  there is one stream more, over which the server sends as much as it can; the
                     client takes a message of it each SLOW_PAUSE_S
    """

    streams: int
    has_slow_reader: bool
    together: int = 8
    size_bytes: int = SMALL_BYTES
    slow_bytes: int = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class RtmpPlay:
    """Players of one stream of RTMP, which a server gives to all of them."""

    players: int
    bits_per_s: int = 2_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class HttpRequests:
    """Connections that each send a request when the last one was answered.

    do_heads_differ  each request has a header with another value than the one before
    """

    connections: int = 64
    do_heads_differ: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ScrapedLoop:
    """A ClosedLoop in slices: the page /metrics is read each `every_s` seconds in every other one.

    pairs    slices of each of the two kinds
    slice_s  their length in seconds
    """

    in_flight: int = 64
    every_s: float = 1.0
    pairs: int = 15
    slice_s: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class PageRequests:
    """Requests for a page of a server, one after the other."""

    path: str


@dataclasses.dataclass(frozen=True, slots=True)
class Imports:
    """A new process that imports `part` of a library, and ends."""

    part: str


StreamWork = StreamEcho | StreamPull | StreamPing | StreamCrowd
HttpWork = HttpRequests | ScrapedLoop | PageRequests
Work = ClosedLoop | FixedRate | Flood | RedisGets | StreamWork | RtmpPlay | HttpWork | Imports

_KINDS: dict[str, type[Work]] = {
    kind.__name__: kind
    for kind in (
        ClosedLoop,
        FixedRate,
        Flood,
        RedisGets,
        StreamEcho,
        StreamPull,
        StreamPing,
        StreamCrowd,
        RtmpPlay,
        HttpRequests,
        ScrapedLoop,
        PageRequests,
        Imports,
    )
}


def as_text(work: Work) -> str:
    return json.dumps([type(work).__name__, dataclasses.asdict(work)])


def parse_work(text: str) -> Work:
    """The Work from which `as_text` made `text`."""
    kind, fields = json.loads(text)
    return _KINDS[kind](**fields)
