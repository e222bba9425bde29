"""RtmpRelay: a service that gives what is published to all who play it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

from pybrpc.base.checked_options import checked_count
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.guard import SERVER
from pybrpc.base.not_copied import NotCopied
from pybrpc.rtmp.client.options import RtmpOptions
from pybrpc.rtmp.client.reconnecting import ReconnectPolicy
from pybrpc.rtmp.relay.gop_cache import MAX_BYTES
from pybrpc.rtmp.relay.recorder import Recorder
from pybrpc.rtmp.relay.relay_hooks import Decision, EventThread, as_service_function
from pybrpc.rtmp.relay.relay_link import RelayLink
from pybrpc.rtmp.relay.relay_stream import FrameTap, RelayStream
from pybrpc.rtmp.relay.relay_values import (
    RelayEvent,
    RelayLimits,
    RelayRequest,
    RelayStatistics,
)
from pybrpc.rtmp.server.connect_info import RtmpRefused
from pybrpc.rtmp.server.server_stream_core import ServerStreamCore
from pybrpc.rtmp.server.service import RtmpService
from pybrpc.rtmp.server.user_functions import start_function
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

QUEUE_BYTES = 2 * 1024 * 1024
QUEUE_SECONDS = 10.0
MAX_STREAMS = 16 * 1024
MAX_CACHED_BYTES = 512 * 1024 * 1024


class RtmpRelay(NotCopied, RtmpService):
    """Publishers and players of the same application and name meet here.

        relay = RtmpRelay()
        server = pybrpc.Server(rtmp_service=relay)
        server.start("0.0.0.0:1935")

    All is done in turns; there is no thread for a player. A player that comes late gets metadata,
    headers, and all since the last keyframe. The bytes of a frame are made once for all players. A
    player that is too slow skips frames until a keyframe; others are not affected.

    gop_cache         keep the frames since the last keyframe for late players, at most 16 MiB of a
                      stream; without it they begin with headers and the next keyframe
    queue_bytes       unwritten bytes of a player over which it skips frames. What it got at its
                      beginning, and 1 KiB for each write, count too
    queue_seconds     the same in seconds of the bit rate of the stream, but at least 256 KiB; the
                      lower one of the two counts. `None`: the bytes alone
    republish         a second publisher of a stream is refused ("refuse", BadName), or ends the
                      first one ("replace"): players go on with it
    idle_streams      players of a stream that nobody publishes wait for a publisher ("wait"), or
                      are refused ("refuse", StreamNotFound)
    reconnect_grace   seconds in which players of a publisher that has gone wait for the next one.
                      Timestamps go on then: the pause between them is in them. 0: they are ended
    authorize_publish, authorize_play   called with a RelayRequest, not in a turn; a plain function
                      runs in a thread of its own, an async one in the loop of async handlers.
                      False, or RtmpRefused, refuses; another error is logged, and refuses too
    on_event          called with RelayEvents, one after another, in a thread of the relay. At most
                      1000 wait for it; others are lost, and counted
    max_streams       publishers and players at once
    max_cached_bytes  of all streams together, for late players. A stream that would exceed it keeps
                      nothing until its next keyframe
    ack_window        as that of RtmpService: limits what players have not acknowledged

    ValueError or TypeError for an option that makes no sense. Any thread may call its methods.
    """

    def __init__(
        self,
        *,
        gop_cache: bool = True,
        queue_bytes: int = QUEUE_BYTES,
        queue_seconds: float | None = QUEUE_SECONDS,
        republish: Literal["refuse", "replace"] = "refuse",
        idle_streams: Literal["wait", "refuse"] = "wait",
        reconnect_grace: float = 0.0,
        authorize_publish: Decision | None = None,
        authorize_play: Decision | None = None,
        on_event: Callable[[RelayEvent], object] | None = None,
        max_streams: int = MAX_STREAMS,
        max_cached_bytes: int = MAX_CACHED_BYTES,
        ack_window: int | None = None,
    ) -> None:
        _check_word("republish", republish, "refuse", "replace")
        _check_word("idle_streams", idle_streams, "wait", "refuse")
        self.max_streams = checked_count("max_streams", max_streams, 1)
        self.ack_window = ack_window
        self._limits = RelayLimits(
            bool(gop_cache),
            checked_count("queue_bytes", queue_bytes, 1),
            checked_timeout_s(queue_seconds, "queue_seconds"),
            checked_timeout_s(reconnect_grace, "reconnect_grace") or 0.0,
            checked_count("max_cached_bytes", max_cached_bytes),
        )
        # The relay has players skip before their connections refuse to take more.
        self.max_unwritten_bytes = 2 * queue_bytes + MAX_BYTES
        self.lock: AbstractContextManager[object] = threading.RLock()
        self._replaces = republish == "replace"
        self._waits = idle_streams == "wait"
        self._decisions = {True: authorize_publish, False: authorize_play}
        self._events = None if on_event is None else EventThread(on_event)
        self._recorder: Recorder | None = None
        self._links: list[RelayLink] = []
        self._cached = 0
        self._streams: dict[str, RelayStream] = {}

    # --- its use ---

    def record(self, folder: str | os.PathLike[str]) -> None:
        """Write each stream whose publisher comes from now on to a FLV file in `folder`, which must
        exist. Its name is that of the stream, where other characters than A-Z, a-z, 0-9, "_", "."
        and "-" become "_", and the time in UTC. A thread writes; if the disk fails, or is more than
        32 MiB behind, that recording ends, and the relay goes on. Blocks while an earlier folder's
        recordings are completed.
        """
        with self.lock:
            recorder, self._recorder = (
                self._recorder,
                Recorder(folder, self._report_recording, SERVER),
            )
        if recorder is not None:
            recorder.close()

    def pull(
        self,
        url: str,
        name: str | None = None,
        *,
        options: RtmpOptions | None = None,
        policy: ReconnectPolicy | None = None,
    ) -> RelayLink:
        """Play a stream of another server, such as "rtmp://host/app/stream", and be its publisher
        here, as `name`; the default is "app/stream" of the URL. It connects again for ever, unless
        `policy` limits that; while there is another publisher of the name it does not connect.
        AddressError for a URL that can't be. Close the link to end it; `close` of the relay does.
        """
        return self._link(RelayLink(self, url, name, True, options, policy))

    def push(
        self,
        url: str,
        name: str | None = None,
        *,
        options: RtmpOptions | None = None,
        policy: ReconnectPolicy | None = None,
    ) -> RelayLink:
        """Publish the stream `name` of this relay to another server, as a player of it, whenever it
        has a publisher. All else is as `pull` says."""
        return self._link(RelayLink(self, url, name, False, options, policy))

    def _link(self, link: RelayLink) -> RelayLink:
        with self.lock:
            self._links.append(link)
        return link

    def statistics(self) -> RelayStatistics:
        """All streams at this moment."""
        with self.lock:
            streams = tuple(stream.statistics() for stream in self._streams.values())
        return RelayStatistics(streams, 0 if self._events is None else self._events.lost)

    def close(self) -> None:
        """Close links, complete recordings, and give the last events to `on_event`. After the
        server has stopped, since that ends the streams. Blocks, at most 10 s for each of them."""
        with self.lock:
            recorder, self._recorder = self._recorder, None
            links, self._links = self._links, []
        for link in links:
            link.close()
        if recorder is not None:
            recorder.close()
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> RtmpRelay:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- streams of the server ---

    def attach(self, core: ServerStreamCore) -> bool:
        info = core.connection.info
        assert info is not None
        name, _, query = core.name.partition("?")
        key = f"{info.app}/{name}"
        if not key.isprintable():
            code = "BadName" if core.is_publisher else "StreamNotFound"
            raise RtmpRefused(code, "the name has characters that can't be printed")
        decide = self._decisions[core.is_publisher]
        if decide is None:
            self._admit(core, key)
            return True
        request = RelayRequest(info.app, name, query, core.connection.peer, info.tc_url)
        start_function(
            core.connection.server,
            as_service_function(decide),
            request,
            partial(self._on_decided, core, key),
        )
        return True

    def _on_decided(self, core: ServerStreamCore, key: str, error: BaseException | None) -> None:
        """In the thread or the task of the function that decides."""
        if error is None:
            try:
                core.connection.socket.dispatcher.post(partial(self._admit, core, key))
            except DispatcherClosedError:
                return
        elif isinstance(error, RtmpRefused):
            self._refuse(core, key, error.code, error.text)
        else:
            SERVER.raised("deciding about %s has failed", core.described, error=error)
            self._refuse(core, key, "Denied", "not allowed")

    def _refuse(self, core: ServerStreamCore, key: str, code: str, text: str) -> None:
        core.connection.refuse(core, code, text)
        self.report("refused", key, core.connection.peer, text)

    def _admit(self, core: ServerStreamCore, key: str) -> None:
        """The peer is allowed to publish or play. In a turn."""
        with self.lock:
            if core.has_ended:
                return
            stream = self._streams.get(key)
            if core.is_publisher:
                if stream is not None and stream.publisher is not None and not self._replaces:
                    self._refuse(core, key, "BadName", "it is published already")
                    return
                core.connection.accept(core)
                self.add_publisher(key, core)
            elif not self._waits and (stream is None or not stream.may_be_played):
                self._refuse(core, key, "StreamNotFound", "nobody publishes it")
            else:
                core.connection.accept(core)
                self.add_player(key, core)

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

    def _stream(self, key: str) -> RelayStream:
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = RelayStream(key, self, self._limits)
        return stream

    # --- the owner of its streams ---

    def report(self, kind: str, stream: str, peer: str = "", text: str = "") -> None:
        """Something has changed. Any thread; never blocks."""
        if self._events is not None:
            self._events.put(RelayEvent(kind, stream, peer, text))

    def _report_recording(self, kind: str, stream: str, text: str) -> None:
        self.report(kind, stream, text=text)

    def on_unused(self, stream: RelayStream) -> None:
        """Forget a stream without publisher and players. In the lock."""
        if not stream.is_used and self._streams.get(stream.key) is stream:
            del self._streams[stream.key]

    def count_cached(self, difference: int) -> int:
        """The cache of a stream holds so many bytes more. In the lock."""
        self._cached += difference
        return self._cached

    def new_taps(self, name: str) -> list[FrameTap]:
        """The recording of a stream whose publisher begins. In the lock."""
        return [] if self._recorder is None else [self._recorder.begin(name)]

    def __repr__(self) -> str:
        return f"<RtmpRelay of {len(self._streams)} streams>"


def _check_word(name: str, value: Any, *allowed: str) -> None:
    if value not in allowed:
        shown = " or ".join(repr(word) for word in allowed)
        raise ValueError(f"{name} must be {shown}, not {value!r}")
