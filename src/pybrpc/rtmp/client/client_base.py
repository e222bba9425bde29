"""RtmpClientBase: the part that the clients for threads and for asyncio share."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Never

from pybrpc.base.checked_options import checked_instance_or_none, checked_text, is_number
from pybrpc.base.not_copied import NotCopied
from pybrpc.base.renewed import renew_in_child
from pybrpc.errors import AddressError, ChannelClosedError
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.client_connect import CONNECT_TRANSACTION, ClientConnect
from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.session import RtmpSession
from pybrpc.rtmp.client.app_connect import RtmpAppConnect
from pybrpc.rtmp.client.client_connection import RtmpClientConnection
from pybrpc.rtmp.client.opening import (
    PlayRequest,
    PublishMode,
    PublishRequest,
    StreamOpening,
    StreamRequest,
)
from pybrpc.rtmp.client.options import FLASH_VERSION, RtmpOptions
from pybrpc.rtmp.client.url import RtmpUrl, parse_rtmp_url
from pybrpc.rtmp.connection import MAX_COMMAND_BYTES
from pybrpc.rtmp.lost_sockets import failure_of
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_map import Shared
from pybrpc.transport.tls.client_tls import ClientTls

MAX_NAME_BYTES = MAX_COMMAND_BYTES - 512
"""A command has other values than the name of a stream."""

MODES = "live", "record", "append"
_CAPABILITIES = {
    "type": "nonprivate",
    "flashVer": FLASH_VERSION,
    "fpad": False,
    "capabilities": 239.0,
    "audioCodecs": 3575.0,
    "videoCodecs": 252.0,
    "videoFunction": 1.0,
    "objectEncoding": 0.0,
}
"""Fields of `connect`: as FFmpeg sends them, all codecs."""


class ConnectionLease(Shared):
    """The connection of one client, as the Runtime knows it: it closes connections when it is
    closed itself, and those of closed loops."""

    __slots__ = ("connection", "loop")

    def __init__(
        self, connection: RtmpClientConnection, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        super().__init__()
        self.connection = connection
        self.loop = loop

    def close(self) -> None:
        socket = self.connection.socket
        if failure_of(socket) is None:
            socket.close()

    def is_lost(self) -> bool:
        return self.loop is not None and self.loop.is_closed()

    def is_usable(self) -> bool:
        return self.connection.is_usable() and not self.is_lost()

    def has_turns(self) -> bool:
        """Whether something polls the connection now, so that a wait for its end can end."""
        return self.loop is None or self.loop.is_running()


class RtmpClientBase(NotCopied):
    """A URL, options, and connections, which are made when streams are opened."""

    _public_name = "pybrpc.rtmp.RtmpClient"
    _is_closed = True  # if the constructor raises
    _leases: dict[ConnectionLease, Callable[[], object]]
    """The connections, each with the function that releases it."""

    def __init__(
        self, url: str | RtmpUrl, options: RtmpOptions | None = None, **unknown: Never
    ) -> None:
        for name in unknown:
            raise TypeError(
                f"{self._public_name} has no argument {name!r}; options are given as "
                f"pybrpc.rtmp.RtmpOptions({name}=...)"
            )
        self.url = url if isinstance(url, RtmpUrl) else parse_rtmp_url(url)
        if self.url.stream_name:
            raise AddressError(
                'a client has a URL like "rtmp://host/app": give the name of the stream to '
                "publish() or play()"
            )
        self.options = checked_instance_or_none("options", options, RtmpOptions) or RtmpOptions()
        tls = self.options.tls
        self._tls = ClientTls.of(self.url.is_tls if tls is None else tls)
        if self._tls is not None:
            self._tls.check(self.url.endpoint)
        self._connect_fields()
        self._lock = threading.Lock()
        self._leases = {}
        self._shares_connection = self.options.share_connection
        self._is_closed = False
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: no more streams can be opened."""
        return self._is_closed

    @property
    def is_connected(self) -> bool:
        """Whether it has a connection that is established, RTMP's handshake included."""
        leases = list(self._leases)
        return any(one.is_usable() and one.connection.socket.is_connected for one in leases)

    # --- opening ---

    def open_nowait(
        self, request: StreamRequest, loop: asyncio.AbstractEventLoop | None
    ) -> StreamOpening:
        """Ask for a stream. Never blocks. The RpcError of a connection that can't be used."""
        with self._lock:
            if self._is_closed:
                raise ChannelClosedError(f"{self!r} was closed; make a new client")
            return self._connection(loop).open(request)

    def must_open_again(self, opening: StreamOpening) -> bool:
        """Whether the stream has to be asked for once more, over another connection: the server has
        only one stream for each, or closed one that was used before, when it was asked."""
        if opening.has_taken_id:
            self._shares_connection = False
        return opening.has_taken_id or opening.came_too_late

    def _connection(self, loop: asyncio.AbstractEventLoop | None) -> RtmpClientConnection:
        """A connection for one more stream, in `loop`. With the lock."""
        for lease in list(self._leases):
            if not lease.is_usable():
                self._leases.pop(lease)()
            elif lease.loop is not loop:
                # It may have stopped: then its connections do nothing.
                continue
            elif self._shares_connection or not lease.connection.is_in_use():
                return lease.connection
        return self._make_connection(loop)

    def _make_connection(self, loop: asyncio.AbstractEventLoop | None) -> RtmpClientConnection:
        runtime = default_runtime()
        dispatcher = runtime.dispatcher if loop is None else runtime.dispatcher_of(loop)
        options = self.options
        writer, session = ChunkWriter(), RtmpSession(None)
        connect = ClientConnect(
            self._connect_fields(),
            uses_digest=options.digest,
            chunk_size=options.chunk_size,
            ack_window=options.ack_window,
            max_message_bytes=options.max_message_bytes,
        )
        socket = Socket.to(
            self.url.endpoint,
            dispatcher,
            options=options.socket_options(runtime.default_socket_options),
            session=session,
            connect_timeout_s=options.connect_timeout,
            process_backlog=runtime.backlog,
            layer=None if self._tls is None else self._tls.layer_to(self.url.endpoint),
            app_connect=RtmpAppConnect(connect, session, writer),
        )
        connection = RtmpClientConnection(socket, writer, options)
        fresh = ConnectionLease(connection, loop)
        lease: ConnectionLease = runtime.connections.acquire(object(), lambda: fresh)
        finalizer = weakref.finalize(self, lease.release)
        finalizer.atexit = False
        self._leases[lease] = finalizer
        return connection

    def _connect_fields(self) -> dict[str, Any]:
        """The fields of the command `connect`. ValueError if a server would not take as many
        bytes."""
        fields = {
            "app": self.url.app_and_query,
            "tcUrl": self.url.tc_url,
            **_CAPABILITIES,
            **self.options.connect_fields,
        }
        size_bytes = len(Command("connect", CONNECT_TRANSACTION, fields).pack().payload)
        if size_bytes > MAX_COMMAND_BYTES:
            raise ValueError(
                f"the app and connect_fields make a command of {size_bytes} bytes; the longest one "
                f"has {MAX_COMMAND_BYTES}"
            )
        return fields

    def _begin_close(self) -> list[RtmpClientConnection]:
        """Open no more streams; return the connections that are closing, of which the end will be
        reported."""
        with self._lock:
            self._is_closed = True
            closing = [lease for lease in self._leases if lease.is_usable()]
        for lease in closing:
            lease.connection.close_gracefully()
        return [lease.connection for lease in closing if lease.has_turns()]

    def _release(self) -> None:
        """Close the connections now."""
        with self._lock:
            releases = list(self._leases.values())
            self._leases.clear()
        for release in releases:
            release()

    def __del__(
        self,
        warn: Callable[..., None] = warnings.warn,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if not self._is_closed and self._leases and not is_finalizing():
            warn(f"unclosed client {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<{type(self).__name__} to {self.url.endpoint}, app {self.url.app!r}, {state}>"


def publish_request(name: str, mode: PublishMode = "live") -> PublishRequest:
    """Checked; ValueError, TypeError."""
    if mode not in MODES:
        raise ValueError(f'mode must be "live", "record" or "append", not {mode!r}')
    return PublishRequest(checked_name(name), mode)


def play_request(name: str, start: float = -2, duration: float = -1) -> PlayRequest:
    """Checked; ValueError, TypeError."""
    for what, value in (("start", start), ("duration", duration)):
        if not is_number(value) or abs(value) > 1e9:
            raise ValueError(f"{what} must be a number of seconds, not {value!r}")
    return PlayRequest(checked_name(name), float(start), float(duration))


def checked_name(name: Any) -> str:
    if not checked_text("name", name) or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise ValueError(f"the name of a stream has from 1 to {MAX_NAME_BYTES} bytes")
    return str(name)
