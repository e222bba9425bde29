"""RelayStreams: the streams of a relay by name, and what they have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from pybrpc.base.renewed import renew_in_child
from pybrpc.rtmp.relay.cache_budget import CacheBudget
from pybrpc.rtmp.relay.recorder import Recorder
from pybrpc.rtmp.relay.relay_hooks import EventThread
from pybrpc.rtmp.relay.relay_stream import FrameTap, RelayStream
from pybrpc.rtmp.relay.relay_values import RelayEvent, RelayLimits, RelayStatistics
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore


class RelayStreams:
    """The StreamOwner of each RelayStream, and what links of the relay use. Any thread, unless
    noted."""

    def __init__(
        self, limits: RelayLimits, on_event: Callable[[RelayEvent], object] | None
    ) -> None:
        self.lock: AbstractContextManager[object] = threading.RLock()
        self.recorder: Recorder | None = None
        """Records each stream that begins from now on. In the lock."""
        self._limits = limits
        self._events = None if on_event is None else EventThread(on_event)
        self.caches = CacheBudget(limits.max_cached_bytes)
        self._streams: dict[str, RelayStream] = {}
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child."""
        self.lock = threading.RLock()

    # --- streams of any connection ---

    def add_publisher(self, key: str, core: RtmpStreamCore) -> None:
        """The frames that come on `core`, which was accepted, are those of the stream `key`. The
        publisher that it had is ended. In a turn."""
        with self.lock:
            stream = self._stream(key)
            last = stream.publisher
            if last is not None:
                stream.end_publishing(last, keeps_players=True)
                last.connection.end_stream(last, None)
                self.report("unpublished", key, last.connection.peer, "replaced")
            self.report("published", key, core.connection.peer)
            stream.begin_publishing(core)

    def add_player(self, key: str, core: RtmpStreamCore) -> None:
        """Send the frames of the stream `key` on `core`, which was accepted. In a turn."""
        with self.lock:
            self._stream(key).add_player(core)

    def has_publisher(self, key: str) -> bool:
        """Whether the stream `key` has a publisher now."""
        with self.lock:
            stream = self._streams.get(key)
            return stream is not None and stream.publisher is not None

    def may_be_played(self, key: str) -> bool:
        """Whether the stream `key` has a publisher, or one may come back soon."""
        with self.lock:
            stream = self._streams.get(key)
            return stream is not None and stream.may_be_played

    def _stream(self, key: str) -> RelayStream:
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = RelayStream(key, self, self._limits)
        return stream

    def statistics(self) -> RelayStatistics:
        """All streams at this moment."""
        with self.lock:
            streams = tuple(stream.statistics() for stream in self._streams.values())
        return RelayStatistics(streams, 0 if self._events is None else self._events.lost)

    # --- the owner of its streams ---

    def report(self, kind: str, stream: str, peer: str = "", text: str = "") -> None:
        """Something has changed. Never blocks."""
        if self._events is not None:
            self._events.put(RelayEvent(kind, stream, peer, text))

    def report_recording(self, kind: str, stream: str, text: str) -> None:
        """`report`, as a Recorder calls it."""
        self.report(kind, stream, text=text)

    def close_events(self) -> None:
        """Wait until the last events were given to the function, at most 10 s."""
        if self._events is not None:
            self._events.close()

    @property
    def has_thread(self) -> bool:
        """Whether there is a thread for events, or a recorder."""
        return self.recorder is not None or (self._events is not None and self._events.is_running)

    def end_nowait(self) -> None:
        """Let the threads end when they have done all."""
        if self.recorder is not None:
            self.recorder.end_nowait()
        if self._events is not None:
            self._events.end_nowait()

    def on_unused(self, stream: RelayStream) -> None:
        """Forget a stream without publisher and players. In the lock."""
        if not stream.is_used and self._streams.get(stream.key) is stream:
            del self._streams[stream.key]

    def new_taps(self, name: str) -> list[FrameTap]:
        """The recording of a stream whose publisher begins. In the lock."""
        return [] if self.recorder is None else [self.recorder.begin(name)]

    def __len__(self) -> int:
        return len(self._streams)

    def __repr__(self) -> str:
        return f"<RelayStreams {len(self)}>"
