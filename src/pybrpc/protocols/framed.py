"""FramedProtocol: the base of protocols whose frame is a header, a meta and a payload.

The header has a fixed size; it begins with a magic, and has the sizes of meta and payload. The meta
is a protobuf message. The payload is the body and perhaps an attachment. baidu_std has the same
shape, and faster code of its own.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from pybrpc.errors import BadRequestError, BadResponseError, ProtocolError
from pybrpc.iobuf.iobuf import IOBuf, iobuf_of
from pybrpc.protocols.frames import (
    SMALL_SIZE,
    oversized_meta_limit,
    pack_frame,
    size_of,
)
from pybrpc.protocols.message import (
    BadMessage,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
    new_request,
    new_response,
)
from pybrpc.protocols.protocol import (
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseOutcome,
)

EMPTY_IS_ABSENT = frozenset(("attachment", "user_fields", "content_type", "checksum_type"))
"""Fields whose empty value, or 0, means the same as `None`."""

UNDECODABLE = "the meta is not a valid protobuf message"


Head: TypeAlias = tuple[RpcRequest | RpcResponse, int | None]
"""The decoded meta: a message without body and attachment, and the bytes of its body, as the peer
declares them; `None`: the payload has no attachment."""

_SMALL_SIZE = SMALL_SIZE


class FramedProtocol:
    """All of an RpcProtocol but its header and its metas. No state; any thread.

    A subclass has a `magic`, the `header_size` in bytes, a `name`, `sizes_of`, `pack_header`,
    `decode_meta`, `encode_request` and `encode_response`.
    """

    __slots__ = ()

    magic = b""
    header_size = 0

    @property
    def name(self) -> str:
        """The name of the protocol in C++ bRPC."""
        raise NotImplementedError

    def sizes_of(self, header: bytes) -> tuple[int, int] | Broken:
        """The sizes of meta and payload in a whole header."""
        raise NotImplementedError

    def pack_header(self, meta_size: int, payload_size: int) -> bytes:
        """A header with these sizes."""
        raise NotImplementedError

    def decode_meta(self, meta: bytes) -> Head:
        """Decode a meta. DecodeError or ProtocolError if it is not a valid one."""
        raise NotImplementedError

    def encode_request(self, request: RpcRequest, attachment_size: int) -> bytes:
        """The meta of a request. ValueError, TypeError or AttributeError if it can't carry a
        value."""
        raise NotImplementedError

    def encode_response(self, response: RpcResponse, attachment_size: int) -> bytes:
        """The meta of a response; errors as in `encode_request`."""
        raise NotImplementedError

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        header = buffer.peek(self.header_size)
        if not self._may_be_header(header):
            return NOT_MINE
        if len(header) < self.header_size:
            return NEED_MORE
        sizes = self.sizes_of(header)
        if isinstance(sizes, Broken):
            return sizes
        try:
            meta_size, payload_size = sizes
            return self._parse_frame(buffer, meta_size, payload_size, limits)
        except ProtocolError as error:
            return Broken(error.text)
        except DecodeError:
            return Broken(UNDECODABLE)

    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        header = buffer.peek(self.header_size)
        if not self._may_be_header(header):
            return 0
        if len(header) < self.header_size:
            return self.header_size - len(header)
        sizes = self.sizes_of(header)
        if isinstance(sizes, Broken):
            return 0
        meta_size, payload_size = sizes
        awaited = meta_size + payload_size
        if awaited > limits.max_body_size:
            awaited = meta_size if meta_size <= oversized_meta_limit(limits) else 0
        elif meta_size > limits.max_meta_size:
            return 0
        return max(0, self.header_size + awaited - len(buffer))

    def pack_request(self, request: RpcRequest) -> IOBuf:
        attachment = request.attachment
        try:
            meta = self.encode_request(request, size_of(attachment))
            return pack_frame(self.pack_header, meta, request.body, attachment)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadRequestError(f"Fail to pack request: {error}") from error

    def pack_fast_request(
        self, correlation_id: int, service: str, method: str, timeout_ms: int | None, body: bytes
    ) -> IOBuf:
        return self.pack_request(new_request(correlation_id, service, method, timeout_ms, body))

    def pack_response(self, response: RpcResponse) -> IOBuf:
        attachment = response.attachment
        try:
            meta = self.encode_response(response, size_of(attachment))
            return pack_frame(self.pack_header, meta, response.body, attachment)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadResponseError(f"Fail to pack response: {error}") from error

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        return self.pack_response(new_response(correlation_id, body))

    def _may_be_header(self, start: bytes) -> bool:
        return self.magic.startswith(start[:4])

    def _parse_frame(
        self, buffer: IOBuf, meta_size: int, payload_size: int, limits: ParseLimits
    ) -> ParseOutcome:
        frame_size = meta_size + payload_size
        if frame_size > limits.max_body_size:
            return self._parse_oversized(buffer, meta_size, payload_size, limits)
        if meta_size > limits.max_meta_size:
            return Broken(
                f"meta_size={meta_size} is larger than max_meta_size={limits.max_meta_size}"
            )
        if len(buffer) < self.header_size + frame_size:
            return NEED_MORE
        if frame_size <= _SMALL_SIZE:
            return self._parse_small(buffer, meta_size, payload_size)
        head = self._cut_head(buffer, meta_size)
        return _with_payload(head, buffer, payload_size, is_pinned=meta_size > payload_size)

    def _parse_small(self, buffer: IOBuf, meta_size: int, payload_size: int) -> ParseOutcome:
        """`_parse_frame` of a frame that is copied: nothing in the message is a view."""
        meta_start = self.header_size
        start = meta_start + meta_size
        end = start + payload_size
        frame = bytes(buffer.cut_contiguous(end))
        message, body_size = self.decode_meta(frame[meta_start:start])
        if body_size is not None:
            if not 0 <= body_size <= payload_size:
                return _bad_body_size(message, body_size, payload_size)
            if body_size < payload_size:
                end = start + body_size
                message.attachment = iobuf_of(frame[end:])
        message.body = frame[start:end]
        return message

    def _cut_head(self, buffer: IOBuf, meta_size: int) -> Head:
        start = bytes(buffer.cut_contiguous(self.header_size + meta_size))
        return self.decode_meta(start[self.header_size :])

    def _parse_oversized(
        self, buffer: IOBuf, meta_size: int, payload_size: int, limits: ParseLimits
    ) -> ParseOutcome:
        size, limit = meta_size + payload_size, limits.max_body_size
        if meta_size > oversized_meta_limit(limits):
            return Broken(f"body_size={size} is larger than max_body_size={limit}")
        if len(buffer) < self.header_size + meta_size:
            return NEED_MORE
        message, _ = self._cut_head(buffer, meta_size)
        return OversizedMessage(
            message.correlation_id,
            message.is_request,
            size,
            limit,
            _credential_of(message),
            rest_bytes=payload_size,
        )


def is_bare_request(request: RpcRequest) -> bool:
    """Whether `refuse_fields` finds nothing in it, whatever it looks for."""
    return not (
        request.log_id is not None
        or request.request_id is not None
        or request.trace_id is not None
        or request.span_id is not None
        or request.parent_span_id is not None
        or request.credential is not None
        or request.stream_settings is not None
        or request.attachment
        or request.user_fields
        or request.content_type
        or request.checksum_type
    )


def is_bare_response(response: RpcResponse) -> bool:
    """As `is_bare_request`."""
    return not (
        response.stream_settings is not None
        or response.attachment
        or response.user_fields
        or response.content_type
        or response.checksum_type
    )


def refuse_fields(protocol: str, message: RpcRequest | RpcResponse, names: tuple[str, ...]) -> None:
    """ValueError if one of the fields `names` of `message` has a value: `protocol` has no place for
    it."""
    for name in names:
        value = getattr(message, name)
        if value is not None and (value or name not in EMPTY_IS_ABSENT):
            what = "streams" if name == "stream_settings" else name
            raise ValueError(f"{protocol} has no place for {what}")


def field_of(meta: Any, name: str) -> Any:
    """The value of an optional field of a protobuf message; `None` if it is absent."""
    return getattr(meta, name) if meta.HasField(name) else None


def text_of(raw: bytes) -> str:
    """Text of a peer, which need not be UTF-8."""
    return raw.decode("utf-8", "replace")


def _with_payload(head: Head, buffer: IOBuf, size: int, is_pinned: bool) -> ParseOutcome:
    """The message of `head` with its payload, which is cut off the front of `buffer`.

    `is_pinned`: views of the payload would keep the meta, too, which nobody counts.
    """
    message, declared = head
    body_size = size if declared is None else declared
    if not 0 <= body_size <= size:
        buffer.pop_front(size)
        return _bad_body_size(message, body_size, size)
    body = buffer.cut_contiguous(body_size)
    attachment = buffer.cutn(size - body_size) if size > body_size else None
    if is_pinned:
        body = bytes(body)
        attachment = IOBuf(bytes(attachment)) if attachment is not None else None
    message.body, message.attachment = body, attachment
    return message


def _bad_body_size(message: RpcRequest | RpcResponse, body_size: int, size: int) -> BadMessage:
    what = "request" if message.is_request else "response"
    fault = "negative" if body_size < 0 else f"larger than {what}_size={size}"
    return BadMessage(
        message.correlation_id,
        message.is_request,
        f"user_message_size={body_size} is {fault}",
        _credential_of(message),
    )


def _credential_of(message: RpcRequest | RpcResponse) -> bytes | None:
    return message.credential if isinstance(message, RpcRequest) else None
