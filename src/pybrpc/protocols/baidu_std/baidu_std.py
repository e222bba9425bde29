"""BaiduStd: parses frames to messages, and packs messages to frames.

Source: bRPC docs/cn/baidu_std.md and, for the order of checks, ParseRpcMessage of
src/brpc/policy/baidu_rpc_protocol.cpp.
"""

from __future__ import annotations

from pybrpc.errors import BadRequestError, BadResponseError, ProtocolError
from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf, iobuf_of
from pybrpc.protocols.baidu_std.fast_frames import (
    is_fast_request,
    is_fast_response,
    pack_fast_request,
    pack_fast_response,
    parse_fast,
)
from pybrpc.protocols.baidu_std.frame import (
    HEADER_SIZE,
    MAGIC,
    may_be_header,
    pack_header,
    unpack_header,
)
from pybrpc.protocols.baidu_std.meta_decoder import Meta, decode_meta, request_of, response_of
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta, encode_response_meta
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
from pybrpc.protocols.streaming.streaming_rpc import STREAMING_RPC

_HEADER_SIZE = HEADER_SIZE
_SMALL_SIZE = SMALL_SIZE


class BaiduStd:
    """The protocol baidu_std. It has no state; one object serves all connections and threads."""

    __slots__ = ()

    companions = (STREAMING_RPC,)
    carries_trace = True
    """The frames of streams come on the connections of the calls that have opened them."""
    takes_blocks = True

    @property
    def name(self) -> str:
        return "baidu_std"

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        message = parse_fast(buffer, limits)
        if message is not None:
            return message
        start = buffer.peek(HEADER_SIZE)
        if len(start) < _HEADER_SIZE:
            return NEED_MORE if may_be_header(start) else NOT_MINE
        magic, body_size, meta_size = unpack_header(start)
        if magic != MAGIC:
            return NOT_MINE
        if meta_size > body_size:
            return Broken(f"meta_size={meta_size} is bigger than body_size={body_size}")
        try:
            if body_size > limits.max_body_size:
                return _parse_oversized(buffer, body_size, meta_size, limits)
            if meta_size > limits.max_meta_size:
                return Broken(
                    f"meta_size={meta_size} is larger than max_meta_size={limits.max_meta_size}"
                )
            if len(buffer) < _HEADER_SIZE + body_size:
                return NEED_MORE
            if body_size <= _SMALL_SIZE:
                return _parse_small(buffer, body_size, meta_size)
            return _parse_large(buffer, body_size, meta_size)
        except ProtocolError as error:
            return Broken(error.text)

    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        start = buffer.peek(HEADER_SIZE)
        if len(start) < HEADER_SIZE:
            return HEADER_SIZE - len(start) if may_be_header(start) else 0
        magic, body_size, meta_size = unpack_header(start)
        if magic != MAGIC or meta_size > body_size:
            return 0
        awaited: int = body_size
        if body_size > limits.max_body_size:
            awaited = meta_size if meta_size <= oversized_meta_limit(limits) else 0
        return max(0, HEADER_SIZE + awaited - len(buffer))

    def pack_request(self, request: RpcRequest) -> IOBuf:
        attachment = request.attachment
        try:
            if is_fast_request(request):
                frame = pack_fast_request(
                    request.correlation_id,
                    request.service,
                    request.method,
                    request.timeout_ms,
                    request.body,
                    attachment,
                )
                if frame is not None:
                    return _with_attachment(iobuf_of(frame), attachment)
            meta = encode_request_meta(request, size_of(attachment))
            return pack_frame(_pack_header, meta, request.body, attachment)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadRequestError(f"Fail to pack request: {error}") from error

    def pack_fast_request(
        self, correlation_id: int, service: str, method: str, timeout_ms: int | None, body: bytes
    ) -> IOBuf:
        try:
            frame = pack_fast_request(correlation_id, service, method, timeout_ms, body, None)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadRequestError(f"Fail to pack request: {error}") from error
        if frame is not None:
            return iobuf_of(frame)
        return self.pack_request(new_request(correlation_id, service, method, timeout_ms, body))

    def pack_response(self, response: RpcResponse) -> IOBuf:
        attachment = response.attachment
        try:
            if is_fast_response(response):
                frame = pack_fast_response(response.correlation_id, response.body, attachment)
                if frame is not None:
                    return _with_attachment(iobuf_of(frame), attachment)
            meta = encode_response_meta(response, size_of(attachment))
            return pack_frame(_pack_header, meta, response.body, attachment)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadResponseError(f"Fail to pack response: {error}") from error

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        frame = pack_fast_response(correlation_id, body, None)
        if frame is not None:
            return iobuf_of(frame)
        return self.pack_response(new_response(correlation_id, body))


def _parse_small(buffer: IOBuf, body_size: int, meta_size: int) -> ParseOutcome:
    frame = buffer.cut_contiguous(_HEADER_SIZE + body_size)
    payload_start = _HEADER_SIZE + meta_size
    meta = decode_meta(frame[HEADER_SIZE:payload_start])
    attachment_size: int = meta.attachment_size
    if not attachment_size:
        return _message(meta, frame[payload_start:], None)
    if not 0 <= attachment_size <= body_size - meta_size:
        return _bad_attachment(meta, body_size - meta_size)
    body_end = HEADER_SIZE + body_size - attachment_size
    return _message(meta, frame[payload_start:body_end], IOBuf(frame[body_end:]))


def _parse_large(buffer: IOBuf, body_size: int, meta_size: int) -> ParseOutcome:
    meta = decode_meta(buffer.cut_contiguous(HEADER_SIZE + meta_size)[HEADER_SIZE:])
    payload_size = body_size - meta_size
    attachment_size: int = meta.attachment_size
    if not 0 <= attachment_size <= payload_size:
        buffer.pop_front(payload_size)
        return _bad_attachment(meta, payload_size)
    body = buffer.cut_contiguous(payload_size - attachment_size)
    attachment = buffer.cutn(attachment_size) if attachment_size else None
    if meta_size > payload_size:
        # Views of the block would keep the meta, too, which nobody counts.
        body = bytes(body)
        attachment = IOBuf(bytes(attachment)) if attachment is not None else None
    return _message(meta, body, attachment)


def _message(meta: Meta, body: BytesLike, attachment: IOBuf | None) -> RpcRequest | RpcResponse:
    if meta.is_request:
        return request_of(meta, body, attachment)
    return response_of(meta, body, attachment)


def _bad_attachment(meta: Meta, payload_size: int) -> BadMessage:
    asks = meta.is_request
    what = "request" if asks else "response"
    fault = "negative" if meta.attachment_size < 0 else f"larger than {what}_size={payload_size}"
    reason = f"attachment_size={meta.attachment_size} is {fault}"
    return BadMessage(meta.correlation_id, asks, reason, meta.authentication_data)


def _parse_oversized(
    buffer: IOBuf, body_size: int, meta_size: int, limits: ParseLimits
) -> ParseOutcome:
    limit = limits.max_body_size
    if meta_size > oversized_meta_limit(limits):
        return Broken(f"body_size={body_size} is larger than max_body_size={limit}")
    if len(buffer) < HEADER_SIZE + meta_size:
        return NEED_MORE
    meta = decode_meta(buffer.cut_contiguous(HEADER_SIZE + meta_size)[HEADER_SIZE:])
    return OversizedMessage(
        meta.correlation_id,
        meta.is_request,
        body_size,
        limit,
        meta.authentication_data,
        rest_bytes=body_size - meta_size,
    )


def _with_attachment(packed: IOBuf, attachment: IOBuf | None) -> IOBuf:
    if attachment is not None:
        packed.append(attachment)
    return packed


def _pack_header(meta_size: int, payload_size: int) -> bytes:
    return pack_header(meta_size + payload_size, meta_size)
