"""RtmpOptions: the options of a client of RTMP."""

from __future__ import annotations

import copy
import dataclasses
import ssl
from collections.abc import Mapping
from typing import Any, ClassVar

from pybrpc.base.checked_options import (
    checked_count,
    checked_flag,
    checked_instance_or_none,
    checked_text,
)
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.protocols.rtmp.amf0 import encode
from pybrpc.protocols.rtmp.message import (
    DEFAULT_ACK_WINDOW,
    DEFAULT_CHUNK_SIZE,
    DEFAULT_MAX_MESSAGE_BYTES,
    MAX_CHUNK_SIZE,
    MAX_PAYLOAD_BYTES,
    U32_MASK,
)
from pybrpc.rtmp.streams.stream_core import MAX_UNREAD_BYTES
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.tls.client_tls import ClientTls

DEFAULT_CONNECT_TIMEOUT_S = 3.0
DEFAULT_TIMEOUT_S = 5.0
"""Servers may ask others whether a stream is allowed."""

MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024
FLASH_VERSION = "FMLE/3.0 (compatible; pybrpc)"
"""Some servers take publishers only whose version begins so, as that of FFmpeg does."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RtmpOptions:
    """Options of a client; TypeError or ValueError for one that can't be.

    connect_timeout   seconds to resolve, connect, shake hands, and get the answer to `connect`; 3
    timeout           seconds that the server, once it is connected, has to answer for a stream; 5.
                      `None`: no limit, for both
    tls               as in `pybrpc.Channel`; True is the default for a URL "rtmps://..."
    digest            whether the handshake has a digest; a few old servers ask for it
    chunk_size        bytes of the chunks that are sent; 60 000
    ack_window        bytes after which the server is asked to acknowledge; 2 500 000. It limits
                      nothing here, unlike that of RtmpService
    buffer_length_ms  milliseconds that a player says it buffers; 1000
    max_message_bytes longest message that is received, in bytes; 4 MiB
    max_unread_bytes  bytes of a played stream that wait to be taken; above it the stream ends with
                      a LimitReachedError; 16 MiB
    max_unwritten_bytes  bytes that wait to be written; above it `send` waits, and `send_nowait`
                      raises an OvercrowdedError; 16 MiB
    share_connection  whether the streams of the client share a connection if the server can
    connect_fields    more fields of the command `connect`, such as {"pageUrl": "..."}; copied
    options           `SocketOptions` of the connection
    """

    _public_name: ClassVar[str] = "pybrpc.rtmp.RtmpOptions"

    connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT_S
    timeout: float | None = DEFAULT_TIMEOUT_S
    tls: ClientTls | ssl.SSLContext | bool | None = None
    digest: bool = False
    chunk_size: int = DEFAULT_CHUNK_SIZE
    ack_window: int = DEFAULT_ACK_WINDOW
    buffer_length_ms: int = 1000
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    max_unread_bytes: int = MAX_UNREAD_BYTES
    max_unwritten_bytes: int = MAX_UNWRITTEN_BYTES
    share_connection: bool = True
    connect_fields: Mapping[str, Any] = dataclasses.field(
        default_factory=dict, repr=False, hash=False
    )
    options: SocketOptions | None = None

    def __post_init__(self) -> None:
        limit_s = checked_timeout_s(self.connect_timeout, "connect_timeout")
        object.__setattr__(self, "connect_timeout", limit_s)
        object.__setattr__(self, "timeout", checked_timeout_s(self.timeout))
        checked_flag("digest", self.digest)
        checked_flag("share_connection", self.share_connection)
        checked_count("chunk_size", self.chunk_size, 1, MAX_CHUNK_SIZE)
        checked_count("ack_window", self.ack_window, 1, U32_MASK)
        checked_count("buffer_length_ms", self.buffer_length_ms, 0, U32_MASK)
        checked_count("max_message_bytes", self.max_message_bytes, 1, MAX_PAYLOAD_BYTES)
        checked_count("max_unread_bytes", self.max_unread_bytes, 1)
        checked_count("max_unwritten_bytes", self.max_unwritten_bytes, 1)
        checked_instance_or_none("options", self.options, SocketOptions)
        if not isinstance(self.connect_fields, Mapping):
            raise TypeError(f"connect_fields must be a dict, not {self.connect_fields!r}")
        for name in self.connect_fields:
            checked_text("a name in connect_fields", name)
        encode(dict(self.connect_fields))
        object.__setattr__(self, "connect_fields", copy.deepcopy(dict(self.connect_fields)))
        ClientTls.of(self.tls)

    def socket_options(self, defaults: SocketOptions) -> SocketOptions:
        """The options of the connection, with the limit of what is not written yet."""
        options = self.options or SocketOptions()
        limit = SocketOptions(high_water_bytes=self.max_unwritten_bytes)
        return options.or_else(limit).or_else(defaults)
