"""RelayStream: one stream of a relay, from its publisher to its players.

Its state changes in the lock of the relay. What has to be done to connections is done in that lock
too: queueing bytes never blocks, and connections report failures later, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pybrpc.protocols.rtmp.message import AUDIO, VIDEO
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay.cache_budget import CacheBudget
from pybrpc.rtmp.relay.gop_cache import GopCache
from pybrpc.rtmp.relay.relay_player import RelayPlayer, exceeds_part
from pybrpc.rtmp.relay.relay_values import RateMeter, RelayLimits, RelayStreamStatistics
from pybrpc.rtmp.relay.shared_frames import SharedBatch, SharedFrame
from pybrpc.rtmp.relay.timeline import Timeline
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.transport.dispatch.event_dispatcher import TimerHandle

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

MIN_QUEUE_BYTES = 256 * 1024
"""A player may have as much unwritten, however few bytes a second its stream has."""

NEARLY_FULL_PART = 0.75
"""Part of what the connections of the process may queue together. Over it no player may have
more than MIN_QUEUE_BYTES unwritten: slow players must leave room for the frames of all others."""

Clock = Callable[[], float]

_MEDIA = frozenset((AUDIO, VIDEO))


class FrameTap(Protocol):
    """Gets all frames of a stream beside its players: a recording. Must not block."""

    def put(self, frames: list[SharedFrame]) -> None:
        """More frames. In a turn, in the lock of the relay."""

    def close(self) -> None:
        """No more frames come."""


class StreamOwner(Protocol):
    """The relay, as its streams know it."""

    lock: AbstractContextManager[object]
    caches: CacheBudget

    def report(self, kind: str, stream: str, peer: str = "", text: str = "") -> None:
        """Something has changed."""

    def on_unused(self, stream: RelayStream) -> None:
        """The stream may have neither publisher nor players now."""

    def new_taps(self, name: str) -> list[FrameTap]:
        """The recordings of a stream whose publisher begins."""


class RelayStream:
    """One stream. It is the sink of its publisher."""

    __slots__ = (
        "_clock",
        "_codecs",
        "_dropped",
        "_frames_in",
        "_gone_sent",
        "_gone_skipped",
        "_has_keyframe",
        "_limits",
        "_meter",
        "_owner",
        "_taps",
        "_timeline",
        "_timer",
        "cache",
        "key",
        "players",
        "publisher",
    )

    def __init__(
        self, key: str, owner: StreamOwner, limits: RelayLimits, clock: Clock = time.monotonic
    ) -> None:
        """`key`: its application and name."""
        self.key = key
        self.publisher: RtmpStreamCore | None = None
        self.players: dict[RtmpStreamCore, RelayPlayer] = {}
        self.cache = GopCache(limits.keeps_frames)
        self._owner = owner
        self._limits = limits
        self._clock = clock
        self._timeline = Timeline()
        self._meter = RateMeter()
        self._timer: TimerHandle | None = None
        self._taps: list[FrameTap] = []
        self._has_keyframe = False
        self._codecs: dict[int, str] = {}
        self._frames_in = self._dropped = self._gone_sent = self._gone_skipped = 0

    @property
    def is_used(self) -> bool:
        """Whether it has a publisher or players, or waits for a publisher to come back."""
        return bool(self.publisher or self.players or self._timer)

    @property
    def may_be_played(self) -> bool:
        """Whether it has a publisher, or one may come back soon."""
        return bool(self.publisher or self._timer)

    # --- its publisher ---

    def begin_publishing(self, core: RtmpStreamCore) -> None:
        """`core`, which was accepted, is the publisher from now on. In a turn."""
        taps = self._owner.new_taps(self.key)
        self._cancel_timer()
        self.publisher = core
        self._timeline.restart()
        self._meter.restart()
        self.cache.restart()
        self._has_keyframe = False
        self._codecs = {}
        self._taps = taps
        early: list[Frame] = []
        while (frame := core.take()) is not None:
            early.append(frame)
        if early:
            self._relay(core, early)
        core.sink = self
        if core.has_ended:
            self.on_ended(core)

    def end_publishing(self, core: RtmpStreamCore, keeps_players: bool = False) -> bool:
        """The publisher has gone. False if `core` is not the publisher. `keeps_players`: another
        publisher takes over at once."""
        if self.publisher is not core:
            return False
        self.publisher = None
        self.cache.restart()
        self._owner.caches.count(self.cache)
        self._meter.restart()
        taps, self._taps = self._taps, []
        for tap in taps:
            tap.close()
        if keeps_players:
            return True
        grace_s = self._limits.reconnect_grace_s
        peer = core.connection.peer
        if grace_s > 0 and self.players:
            self._owner.report("paused", self.key, peer)
            dispatcher = core.connection.socket.dispatcher
            self._timer = dispatcher.call_at(time.monotonic() + grace_s, self._on_timer)
        else:
            self._owner.report("unpublished", self.key, peer)
            self.end_players()
        return True

    def _on_timer(self) -> None:
        with self._owner.lock:
            if self._timer is None:
                return
            self._timer = None
            self._owner.report("unpublished", self.key)
            self.end_players()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def end_players(self) -> None:
        """Nothing more comes for players."""
        self._cancel_timer()
        for core in list(self.players):
            core.connection.end_stream(core, None)
        self._owner.on_unused(self)

    # --- the sink of the publisher ---

    def on_frames(self, core: RtmpStreamCore, frames: list[Frame]) -> None:
        with self._owner.lock:
            if core is self.publisher:
                self._relay(core, frames)

    def on_ended(self, core: RtmpStreamCore) -> None:
        with self._owner.lock:
            if self.end_publishing(core):
                self._owner.on_unused(self)

    def _relay(self, core: RtmpStreamCore, frames: list[Frame]) -> None:
        now = self._clock()
        self._meter.add(sum(len(frame.payload) for frame in frames), now)
        self._frames_in += len(frames)
        shared = self._take_in(frames, now)
        if not shared:
            return
        for tap in self._taps:
            tap.put(shared)
        limit_bytes = self.limit_bytes
        process = core.connection.socket.backlog.process
        if exceeds_part(process, 0, NEARLY_FULL_PART):
            limit_bytes = min(limit_bytes, MIN_QUEUE_BYTES)
        version = self.cache.version
        batch = SharedBatch(shared)
        skipping: list[RelayPlayer] = []
        for player in self.players.values():
            if player.is_skipping:
                skipping.append(player)
            elif player.send(batch, limit_bytes):
                player.version = version
            else:
                self._owner.report("skipping", self.key, player.core.connection.peer)
        if skipping:
            self._resume(skipping, shared, limit_bytes)

    def _take_in(self, frames: list[Frame], now: float) -> list[SharedFrame]:
        """The frames as players get them; those that nobody can decode are left out."""
        taken: list[SharedFrame] = []
        timeline, cache = self._timeline, self.cache
        for frame in frames:
            shared = SharedFrame(frame, 0)
            kind = shared.message_type
            counts = kind in _MEDIA and not shared.is_header
            shared.timestamp = timeline.at(frame.timestamp, counts, now)
            if kind == VIDEO and not self._has_keyframe and not shared.is_header:
                if not shared.is_keyframe:
                    self._dropped += 1
                    continue
                self._has_keyframe = True
            if kind in _MEDIA and (shared.is_header or kind not in self._codecs):
                self._codecs[kind] = shared.codec or "unknown"
            cache.add(shared)
            taken.append(shared)
        self._owner.caches.count(self.cache)
        return taken

    def _resume(
        self, skipping: list[RelayPlayer], shared: list[SharedFrame], limit_bytes: int
    ) -> None:
        """Players that skip go on with the first keyframe, if their queues are short enough."""
        begin = 0
        if self.cache.has_video:
            keyframes = [at for at, frame in enumerate(shared) if frame.is_keyframe]
            begin = keyframes[0] if keyframes else len(shared)
        rest = shared[begin:]
        batch = SharedBatch(rest) if begin else SharedBatch(shared)
        headers = self.cache.headers_at(rest[0].timestamp) if rest else []
        for player in skipping:
            if not rest or not player.may_resume(limit_bytes):
                player.skipped += len(shared)
                continue
            player.skipped += begin
            was_slow = player.was_slow
            player.resume(headers, batch, self.cache.version)
            if player.was_slow != was_slow:
                kind = "resumed" if was_slow else "skipping"
                self._owner.report(kind, self.key, player.core.connection.peer)

    @property
    def limit_bytes(self) -> int:
        """Memory that the queue of a player may have before it skips frames."""
        limits = self._limits
        if limits.queue_seconds is None or not self._meter.bytes_per_s:
            return limits.queue_bytes
        of_seconds = int(self._meter.bytes_per_s * limits.queue_seconds)
        return min(limits.queue_bytes, max(of_seconds, MIN_QUEUE_BYTES))

    # --- its players ---

    def add_player(self, core: RtmpStreamCore) -> None:
        """`core` plays from now on. Its request was accepted already."""
        player = self.players[core] = RelayPlayer(core, self.remove_player)
        core.sink = player
        if core.has_ended:
            self.remove_player(player)
            return
        self._owner.report("played", self.key, core.connection.peer)
        if self.publisher is None:
            return
        player.begin(self.cache, self._timeline.last)
        if player.was_slow:
            self._owner.report("skipping", self.key, core.connection.peer)

    def remove_player(self, player: RelayPlayer) -> None:
        """The player has left. Any thread."""
        with self._owner.lock:
            if self.players.pop(player.core, None) is None:
                return
            self._gone_sent += player.sent
            self._gone_skipped += player.skipped
            self._owner.report("left", self.key, player.core.connection.peer)
            if not self.players and self.publisher is None:
                self._cancel_timer()
            self._owner.on_unused(self)

    # --- statistics ---

    def statistics(self) -> RelayStreamStatistics:
        """In the lock of the relay."""
        players = tuple(player.statistics() for player in self.players.values())
        publisher = self.publisher
        return RelayStreamStatistics(
            name=self.key,
            publisher=None if publisher is None else publisher.connection.peer,
            codecs=tuple(name for _, name in sorted(self._codecs.items(), reverse=True)),
            bits_per_s=self._meter.bytes_per_s * 8,
            frames_in=self._frames_in,
            bytes_in=self._meter.total_bytes,
            frames_dropped=self._dropped,
            frames_sent=self._gone_sent + sum(player.frames_sent for player in players),
            frames_skipped=self._gone_skipped + sum(player.frames_skipped for player in players),
            cached_bytes=self.cache.size_bytes,
            players=players,
        )

    def __repr__(self) -> str:
        state = "published" if self.publisher is not None else "idle"
        return f"<RelayStream {self.key!r} {state}, {len(self.players)} players>"
