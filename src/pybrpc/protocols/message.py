"""Messages: the values that every protocol parses into and packs from.

There are four kinds: a request, a response, a whole message that contradicts itself (`BadMessage`),
and the head of a message that is too long (`OversizedMessage`). Each has a `correlation_id`, and
`is_request` says which side sent it. Optional fields are `None` when they are absent on the wire;
their defaults are the values that C++ bRPC sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from pybrpc.iobuf import BytesLike, IOBuf
from pybrpc.protocols.streaming.stream_frame import StreamFrame


class ResponsePacker(Protocol):
    """Makes the bytes of responses. An RpcProtocol does, for all its requests; a session may give
    one to a single request. Any thread."""

    def pack_response(self, response: RpcResponse) -> IOBuf:
        """The bytes of a response. BadResponseError if it can't carry a value."""

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        """`pack_response` for a success without other fields, as most are; faster."""


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

    correlation_id            number that the response carries too
    service, method           full name of the service; name of the method
    body                      the serialized message, compressed if `compress_type` says so; that of
                              a parsed request may be a view of the received bytes
    attachment                bytes that follow the body and are not interpreted
    log_id, request_id        what the caller wants to see in the logs of the server
    timeout_ms                the time that the caller still waits, in milliseconds; `None`: it
                              doesn't say
    trace_id, span_id, parent_span_id  as in `TraceContext`; `None`: there is none
    user_fields               names and values of the caller; `None`: there are none
    credential                what an Authenticator has made; in the first request of a connection
    compress_type             bRPC's number of the compression; 0: not compressed
    content_type              bRPC's number of the format of the body; 0: protobuf
    checksum_type             bRPC's number of the checksum; 0: there is none
    checksum_value            the checksum
    checksum_with_attachment  whether it covers the attachment too
    stream_settings           of the stream that the call opens; `None`: it opens none
    method_index              the place of the method in its service, from 0 on: hulu_pbrpc sends
                              that instead of `method`, which is "" then
    packer                    makes the bytes of the response, if that is not the protocol of the
                              connection; nothing of it travels

    Not thread-safe: one thread at a time may use it.
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
    credential: bytes | None = field(default=None, repr=False)
    compress_type: int | None = 0
    content_type: int | None = 0
    checksum_type: int | None = 0
    checksum_value: bytes | None = b""
    checksum_with_attachment: bool | None = None
    stream_settings: StreamSettings | None = None
    method_index: int | None = None
    packer: ResponsePacker | None = field(default=None, compare=False, repr=False)

    @property
    def is_request(self) -> Literal[True]:
        """Whether a client sent it."""
        return True


@dataclass
class RpcResponse:
    """A response as it travels.

    correlation_id  that of the request
    error_code      bRPC's number, or an errno; 0 is success
    error_text      why the call failed; "" if it did not

    `body`, `attachment`, `user_fields`, `compress_type`, `content_type`, `checksum_type`,
    `checksum_value`, `checksum_with_attachment` and `stream_settings` are as in `RpcRequest`.
    """

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
        """Whether a client sent it."""
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
    `correlation_id` with ERESPONSE. `is_request`: whether it is a request. The first message of a
    connection has a `credential` all the same. `packer` is that of an RpcRequest.
    """

    correlation_id: int
    is_request: bool
    reason: str
    credential: bytes | None = field(default=None, repr=False)
    packer: ResponsePacker | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OversizedMessage:
    """The head of a message whose declared size is over the limit.

    Its body is not buffered. A server answers EREQUEST to `correlation_id` and closes the
    connection. A client fails the call; the MessageCutter skips the body if it is not too long
    (`is_skipped`), else no later message can be parsed, and the client closes the connection.
    `size_bytes` is the size after the fixed header that the peer declared, `limit_bytes` the limit,
    `rest_bytes` the part that follows the head. `is_request`, `credential` and `packer` are as in
    `BadMessage`.
    """

    correlation_id: int
    is_request: bool
    size_bytes: int
    limit_bytes: int
    credential: bytes | None = field(default=None, repr=False)
    rest_bytes: int = 0
    is_skipped: bool = False
    packer: ResponsePacker | None = field(default=None, compare=False, repr=False)

    @property
    def reason(self) -> str:
        """The text of the error that the peer gets."""
        return f"body_size={self.size_bytes} is larger than max_body_size={self.limit_bytes}"


RpcMessage = RpcRequest | RpcResponse | BadMessage | OversizedMessage
"""A message of an RpcProtocol."""

Message = RpcMessage | StreamFrame
