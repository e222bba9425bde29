"""The values that every protocol parses into and packs from.

A protocol gives one of four: a request, a response, a message that is whole but senseless
(`BadMessage`), or the head of one that is too long (`OversizedMessage`). Optional fields are
`None` when they are absent on the wire; the defaults are what C++ bRPC sends.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybrpc.iobuf import BytesLike, IOBuf


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What one side says about the streams that it opens along with a call."""

    stream_id: int
    need_feedback: bool | None = None
    writable: bool | None = None
    extra_stream_ids: tuple[int, ...] = ()


@dataclass
class RpcRequest:
    """One call, as it travels.

    `body` is the serialized message, still compressed if `compress_type` says so; parsed ones
    are views of what was received and copy nothing. `attachment` follows the body uninterpreted.
    Times are milliseconds. Not thread-safe; owned by whoever holds it.
    """

    correlation_id: int
    service: str
    method: str
    body: BytesLike = b""
    attachment: IOBuf | None = None
    log_id: int | None = None
    request_id: str | None = None
    timeout_ms: int | None = None
    trace_id: int | None = None
    span_id: int | None = None
    parent_span_id: int | None = None
    user_fields: dict[str, str] | None = None
    credential: bytes | None = None
    compress_type: int | None = 0
    content_type: int | None = 0
    checksum_type: int | None = 0
    checksum_value: bytes | None = b""
    checksum_with_attachment: bool | None = None
    stream_settings: StreamSettings | None = None


@dataclass
class RpcResponse:
    """The answer to a call; `error_code` 0 is success. Other fields as in `RpcRequest`."""

    correlation_id: int
    error_code: int = 0
    error_text: str = ""
    body: BytesLike = b""
    attachment: IOBuf | None = None
    user_fields: dict[str, str] | None = None
    compress_type: int | None = 0
    content_type: int | None = 0
    checksum_type: int | None = 0
    checksum_value: bytes | None = b""
    checksum_with_attachment: bool | None = None
    stream_settings: StreamSettings | None = None


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A whole message that contradicts itself; it was consumed, the connection stays usable.

    A server answers EREQUEST with `reason` to `correlation_id`; a client fails that call with
    ERESPONSE.
    """

    correlation_id: int
    is_request: bool
    reason: str


@dataclass(frozen=True, slots=True)
class OversizedMessage:
    """The head of a message whose declared size is over the limit.

    Its body was not buffered and is not skipped, so nothing after it can be understood: a server
    answers EREQUEST to `correlation_id` and closes, a client fails that call and closes.
    Sizes are bytes after the fixed header, as the peer declared them.
    """

    correlation_id: int
    is_request: bool
    size_bytes: int
    limit_bytes: int

    @property
    def reason(self) -> str:
        return f"body_size={self.size_bytes} is larger than max_body_size={self.limit_bytes}"


Message = RpcRequest | RpcResponse | BadMessage | OversizedMessage
