"""Values of a relay: its settings, its events, its statistics, and what it asks permission for."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_CACHED_BYTES = 512 * 1024 * 1024
"""Memory of what all streams of a relay together keep for late players."""


@dataclass(frozen=True, slots=True)
class RelayRequest:
    """A peer wants to publish or to play.

    app        the application that it has connected to, such as "live"
    name       of the stream, without the parameters behind "?"
    query      these parameters, such as "token=1"; "" without them
    peer       the address of the peer
    tc_url     the URL that it has connected to; "" if it has told none

    Its repr does not show the last of them and `query`: they are often secret.
    """

    app: str
    name: str
    query: str = field(repr=False)
    peer: str
    tc_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RelayEvent:
    """A change in a relay.

    kind     "published", "unpublished", "paused" (the publisher has gone, players wait for it),
             "played", "left", "refused", "skipping" (a player is too slow), "resumed",
             "recording", "recorded", "recording_failed", "pull_failed" or "push_failed"
    stream   its application and name, such as "live/stream"
    peer     the address of the publisher or player; "" for events of recordings and links
    text     more about it, such as the reason or the file; often ""
    """

    kind: str
    stream: str
    peer: str = ""
    text: str = ""

    def __str__(self) -> str:
        """One line, in which characters of peers that can't be printed are escaped."""
        words = [self.kind, self.stream, self.peer and f"by {self.peer}", self.text]
        line = " ".join(word for word in words if word)
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


@dataclass(frozen=True, slots=True)
class RelayPlayerStatistics:
    """One player of a stream.

    peer             its address
    frames_sent      frames that were queued for it, headers and cached ones included
    frames_skipped   frames that it did not get: it was too slow, or waited for a keyframe
    queued_bytes     bytes that its connection has not taken yet
    is_skipping      whether it is too slow, and gets no frames until a keyframe
    """

    peer: str
    frames_sent: int
    frames_skipped: int
    queued_bytes: int
    is_skipping: bool


@dataclass(frozen=True, slots=True)
class RelayStreamStatistics:
    """One stream of a relay. The counts include players that have left.

    name             its application and name, such as "live/stream"
    publisher        the address of the publisher; `None` while there is none
    codecs           the names of the codecs of its video and audio
    bits_per_s       what the publisher sends, over the last seconds
    frames_in, bytes_in   frames of all publishers so far, and their payloads
    frames_dropped   frames before the first keyframe of a publisher, which nobody gets
    frames_sent, frames_skipped   sums of what all players have got, and have not
    cached_bytes     memory of the frames for late players
    players          those of now
    """

    name: str
    publisher: str | None
    codecs: tuple[str, ...]
    bits_per_s: float
    frames_in: int
    bytes_in: int
    frames_dropped: int
    frames_sent: int
    frames_skipped: int
    cached_bytes: int
    players: tuple[RelayPlayerStatistics, ...]


@dataclass(frozen=True, slots=True)
class RelayStatistics:
    """A relay at one moment.

    streams       those that have a publisher or players
    events_lost   events that were not given to `on_event`, which was too slow
    """

    streams: tuple[RelayStreamStatistics, ...]
    events_lost: int


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """The limits of the streams of a relay; see RtmpRelay."""

    keeps_frames: bool
    queue_bytes: int
    queue_seconds: float | None
    reconnect_grace_s: float
    max_cached_bytes: int = MAX_CACHED_BYTES


class RateMeter:
    """Bytes a second, over the last seconds. For one thread at a time.

    `now` is the monotonic clock, as the caller has read it.
    """

    __slots__ = ("_began_s", "_counted", "bytes_per_s", "total_bytes")

    INTERVAL_S = 1.0
    _SMOOTHING = 0.5

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._counted = 0
        self.bytes_per_s = 0.0
        self.total_bytes = 0

    def add(self, size: int, now: float) -> None:
        self.total_bytes += size
        if self._began_s is None:
            self._began_s = now
        self._counted += size
        passed_s = now - self._began_s
        if passed_s < self.INTERVAL_S:
            return
        rate = self._counted / passed_s
        is_first = not self.bytes_per_s
        self.bytes_per_s = rate if is_first else (self.bytes_per_s + rate) * self._SMOOTHING
        self._began_s, self._counted = now, 0

    def restart(self) -> None:
        """There is a pause now, which counts in no rate."""
        self._began_s, self._counted, self.bytes_per_s = None, 0, 0.0
