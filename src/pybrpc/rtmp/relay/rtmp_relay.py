"""RtmpRelay: a service that gives what is published to all who play it."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self

from pybrpc.base.checked_options import (
    checked_count,
    checked_count_or_none,
    checked_flag,
    checked_function_or_none,
    checked_text,
)
from pybrpc.base.deadline import LONGEST_TIMEOUT_S, checked_timeout_s
from pybrpc.base.guard import SERVER
from pybrpc.base.not_copied import NotCopied
from pybrpc.errors import ChannelClosedError
from pybrpc.rtmp.client.options import RtmpOptions
from pybrpc.rtmp.client.reconnecting import ReconnectPolicy
from pybrpc.rtmp.relay.gop_cache import MAX_BYTES
from pybrpc.rtmp.relay.recorder import MAX_RECORDINGS, Recorder
from pybrpc.rtmp.relay.relay_hooks import Decision, as_service_function
from pybrpc.rtmp.relay.relay_link import RelayLink
from pybrpc.rtmp.relay.relay_streams import RelayStreams
from pybrpc.rtmp.relay.relay_values import (
    MAX_CACHED_BYTES,
    RelayEvent,
    RelayLimits,
    RelayRequest,
    RelayStatistics,
)
from pybrpc.rtmp.server.connect_info import RtmpRefused
from pybrpc.rtmp.server.rtmp_layer import MIN_ACK_WINDOW
from pybrpc.rtmp.server.server_stream_core import FUNCTION, ServerStreamCore
from pybrpc.rtmp.server.service import RtmpService
from pybrpc.rtmp.server.user_functions import start_function
from pybrpc.rtmp.streams.stream_name import query_of
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

PLAYER_QUEUE_BYTES = 2 * 1024 * 1024
PLAYER_QUEUE_S = 10.0
MAX_STREAMS = 16 * 1024


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
                      True admits. None, another false value, or RtmpRefused refuses; another
                      error is logged, and refuses too
    on_event          called with RelayEvents, one after another, in a thread of the relay. At most
                      1000 wait for it; others are lost, and counted
    max_streams       publishers and players at once
    max_cached_bytes  of all streams together, for late players. Over it, the streams that keep most
                      drop that, and keep nothing until their next keyframe
    ack_window        as that of RtmpService: limits what players have not acknowledged

    Other limits are attributes, as RtmpService says; of these `max_unwritten_bytes` is twice
    `queue_bytes` and 16 MiB here.

    ValueError or TypeError for an option that makes no sense. Any thread may call its methods.
    `with` and `async with` close it. One that is dropped while it has a thread gives a
    ResourceWarning, and while it has links it goes on.
    """

    _is_closed = True

    def __init__(
        self,
        *,
        gop_cache: bool = True,
        queue_bytes: int = PLAYER_QUEUE_BYTES,
        queue_seconds: float | None = PLAYER_QUEUE_S,
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
        self.ack_window = checked_count_or_none("ack_window", ack_window, MIN_ACK_WINDOW)
        limits = RelayLimits(
            checked_flag("gop_cache", gop_cache),
            checked_count("queue_bytes", queue_bytes, 1),
            _checked_queue_seconds(queue_seconds),
            _checked_grace_s(reconnect_grace),
            checked_count("max_cached_bytes", max_cached_bytes),
        )
        # The relay has players skip before their connections refuse to take more.
        self.max_unwritten_bytes = 2 * queue_bytes + MAX_BYTES
        self._replaces = republish == "replace"
        self._waits = idle_streams == "wait"
        self._decisions = {
            True: _checked_decision("authorize_publish", authorize_publish),
            False: _checked_decision("authorize_play", authorize_play),
        }
        checked_function_or_none("on_event", on_event, "event")
        self._links: list[RelayLink] = []
        self._is_closed = False
        self._streams = RelayStreams(limits, on_event)

    # --- its use ---

    def record(
        self, folder: str | os.PathLike[str], *, max_recordings: int = MAX_RECORDINGS
    ) -> None:
        """Write each stream whose publisher comes from now on to a FLV file in `folder`, which must
        exist. Its name is that of the stream, where other characters than A-Z, a-z, 0-9, "_", "."
        and "-" become "_", and the time in UTC. A thread writes; if the disk fails, or is more than
        32 MiB behind, that recording ends, and the relay goes on. A stream that begins while
        `max_recordings` are open is not recorded. Blocks while an earlier folder's recordings are
        completed. ChannelClosedError once the relay was closed.
        """
        most = checked_count("max_recordings", max_recordings, 1)
        streams = self._streams
        recorder = Recorder(folder, streams.report_recording, SERVER, max_recordings=most)
        with streams.lock:
            self._check_open()
            last, streams.recorder = streams.recorder, recorder
        if last is not None:
            last.close()

    def pull(
        self,
        url: str,
        name: str | None = None,
        *,
        options: RtmpOptions | None = None,
        policy: ReconnectPolicy | None = None,
    ) -> RelayLink:
        """Play a stream of another server, such as "rtmp://host/app/stream", and be its publisher
        here, as `name`, from its first frame on; the default is "app/stream" of `url`. It
        connects again for ever, unless `policy` limits that; while there is another publisher of
        the name it does not connect. AddressError for a URL that can't be, ValueError for a name
        without an application, ChannelClosedError once the relay was closed. Close the link to end
        it; `close` of the relay does.
        """
        return self._link(url, name, True, options, policy)

    def push(
        self,
        url: str,
        name: str | None = None,
        *,
        options: RtmpOptions | None = None,
        policy: ReconnectPolicy | None = None,
    ) -> RelayLink:
        """Publish the stream `name` of this relay to another server, at `url`, as a player of it,
        whenever it has a publisher. `options`, `policy` and all else are as `pull` says."""
        return self._link(url, name, False, options, policy)

    def _link(
        self,
        url: str,
        name: str | None,
        is_pull: bool,
        options: RtmpOptions | None,
        policy: ReconnectPolicy | None,
    ) -> RelayLink:
        key = _checked_key(name)
        with self._streams.lock:
            self._check_open()
            link = RelayLink(self._streams, url, key, is_pull, options, policy)
            link.on_closed = self._forget
            self._links.append(link)
        return link

    def _forget(self, link: RelayLink) -> None:
        with self._streams.lock:
            if link in self._links:
                self._links.remove(link)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ChannelClosedError("the relay was closed")

    def statistics(self) -> RelayStatistics:
        """All streams at this moment."""
        return self._streams.statistics()

    def close(self) -> None:
        """Close links, complete recordings, and give the last events to `on_event`. After the
        server has stopped, since that ends the streams. Blocks, at most 10 s for each of them: in
        an asyncio loop, use `aclose`."""
        streams = self._streams
        with streams.lock:
            self._is_closed = True
            recorder, streams.recorder = streams.recorder, None
            links, self._links = self._links, []
        for link in links:
            link.close()
        if recorder is not None:
            recorder.close()
        streams.close_events()

    async def aclose(self) -> None:
        """`close` in a thread, for a task of any loop, which goes on meanwhile. If the task is
        canceled, the relay is closed nevertheless."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    # --- streams of the server ---

    def attach(self, core: ServerStreamCore) -> bool:
        """Take every stream, and admit or refuse it. In a turn; never blocks."""
        info = core.connection.info
        assert info is not None
        name, query = core.bare_name, query_of(core.name)
        key = f"{info.app}/{name}"
        if not key.isprintable():
            code = "BadName" if core.is_publisher else "StreamNotFound"
            raise RtmpRefused(code, "the name has characters that can't be printed")
        decide = self._decisions[core.is_publisher]
        if decide is None:
            self._admit(core, key)
            return True
        core.is_deciding = True
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
        try:
            if error is None:
                core.connection.socket.dispatcher.post(partial(self._admit, core, key))
            elif isinstance(error, RtmpRefused):
                self._refuse(core, key, str(error.code), str(error.text))
            else:
                SERVER.raised("deciding about %s has failed", core.described, error=error)
                self._refuse(core, key, "Denied", "not allowed")
        except DispatcherClosedError:
            return
        finally:
            core.release(FUNCTION)

    def _refuse(self, core: ServerStreamCore, key: str, code: str, text: str) -> None:
        core.connection.refuse(core, code, text)
        self._streams.report("refused", key, core.connection.peer, text)

    def _admit(self, core: ServerStreamCore, key: str) -> None:
        """The peer is allowed to publish or play. In a turn."""
        streams = self._streams
        with streams.lock:
            if core.has_ended:
                return
            if core.is_publisher:
                if streams.has_publisher(key) and not self._replaces:
                    self._refuse(core, key, "BadName", "it is published already")
                    return
                core.connection.accept(core)
                streams.add_publisher(key, core)
            elif not self._waits and not streams.may_be_played(key):
                self._refuse(core, key, "StreamNotFound", "nobody publishes it")
            else:
                core.connection.accept(core)
                streams.add_player(key, core)

    def __del__(
        self,
        warn: Callable[..., None] = warnings.warn,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if not self._is_closed and not is_finalizing() and self._streams.has_thread:
            warn(f"unclosed relay {self!r}", ResourceWarning, source=self)
            self._streams.end_nowait()

    def __repr__(self) -> str:
        return f"<RtmpRelay of {len(self._streams)} streams>"


def _checked_queue_seconds(value: float | None) -> float | None:
    queue_s = checked_timeout_s(value, "queue_seconds")
    if queue_s == 0:
        raise ValueError("queue_seconds must be None or more than 0 seconds")
    return queue_s


def _checked_grace_s(value: float) -> float:
    if value is None:
        raise ValueError("reconnect_grace must be a number of seconds, not None")
    grace_s = checked_timeout_s(value, "reconnect_grace")
    return LONGEST_TIMEOUT_S if grace_s is None else grace_s


def _checked_decision(name: str, value: Decision | None) -> Decision | None:
    return checked_function_or_none(name, value, "request", may_be_async=True)


def _checked_key(name: str | None) -> str | None:
    """The name of a stream of a relay, as `pull` and `push` take it."""
    if name is None:
        return None
    bare, separator, _ = checked_text("name", name).partition("?")
    if separator or "/" not in bare or bare.endswith("/") or not bare.isprintable():
        shown = f"{bare}?..." if separator else bare
        raise ValueError(
            "name must be that of an application and a stream, without parameters, such as "
            f'"live/stream", not {shown!r}'
        )
    return name


def _check_word(name: str, value: Any, *allowed: str) -> None:
    if value not in allowed:
        shown = " or ".join(repr(word) for word in allowed)
        raise ValueError(f"{name} must be {shown}, not {value!r}")
