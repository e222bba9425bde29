"""Messages: the values that every protocol parses into and packs from.

There are four kinds: a request, a response, a whole message that contradicts itself (`BadMessage`),
and the head of a message that is too long (`OversizedMessage`). Each has a `correlation_id`, and
`is_request` says which side sent it. Optional fields are `None` when they are absent on the wire;
their defaults are the values that C++ bRPC sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pybrpc.iobuf import BytesLike, IOBuf


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """The settings that one side sends for the streams that it opens along with a call."""

    stream_id: int
    need_feedback: bool | None = None
    writable: bool | None = None
    extra_stream_ids: tuple[int, ...] = ()


@dataclass
class RpcRequest:
    """A request as it travels.

    `body` is the serialized message, compressed if `compress_type` says so. The body of a parsed
    request may be a view of the received bytes. `attachment` follows the body and is not
    interpreted. Not thread-safe: one thread at a time may use it.
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

    @property
    def is_request(self) -> Literal[True]:
        return True


@dataclass
class RpcResponse:
    """A response as it travels; `error_code` 0 is success. Other fields as in `RpcRequest`."""

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

    @property
    def is_request(self) -> Literal[False]:
        return False


def new_request(
    correlation_id: int, service: str, method: str, timeout_ms: int | None, body: BytesLike
) -> RpcRequest:
    """`RpcRequest(correlation_id, service, method, body, timeout_ms=timeout_ms)`, but faster."""
    request = RpcRequest.__new__(RpcRequest)
    request.correlation_id = correlation_id
    request.service = service
    request.method = method
    request.timeout_ms = timeout_ms
    request.body = body
    request.compress_type = request.content_type = request.checksum_type = 0
    request.checksum_value = b""
    return request


def new_response(correlation_id: int, body: BytesLike) -> RpcResponse:
    """`RpcResponse(correlation_id, body=body)`, but faster."""
    response = RpcResponse.__new__(RpcResponse)
    response.correlation_id = correlation_id
    response.error_code = 0
    response.error_text = ""
    response.body = body
    response.compress_type = response.content_type = response.checksum_type = 0
    response.checksum_value = b""
    return response


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A whole message that contradicts itself. It was consumed, and the connection stays usable.

    A server answers EREQUEST with `reason` to `correlation_id`; a client fails the call of this
    `correlation_id` with ERESPONSE.
    """

    correlation_id: int
    is_request: bool
    reason: str


@dataclass(frozen=True, slots=True)
class OversizedMessage:
    """The head of a message whose declared size is over the limit.

    Its body is neither buffered nor skipped, so no later message can be parsed: a server answers
    EREQUEST to `correlation_id` and closes the connection, a client fails the call and closes it.
    `size_bytes` is the size after the fixed header that the peer declared.
    """

    correlation_id: int
    is_request: bool
    size_bytes: int
    limit_bytes: int

    @property
    def reason(self) -> str:
        return f"body_size={self.size_bytes} is larger than max_body_size={self.limit_bytes}"


Message = RpcRequest | RpcResponse | BadMessage | OversizedMessage
