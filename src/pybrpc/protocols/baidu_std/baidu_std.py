"""baidu_std as a protocol: frames to messages and back.

Source: bRPC docs/cn/baidu_std.md and, for the order of checks, ParseRpcMessage of
src/brpc/policy/baidu_rpc_protocol.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.implementation import __impl__
from pybrpc.errors import BadRequestError, BadResponseError, ProtocolError
from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf, iobuf_of
from pybrpc.protocols.baidu_std.frame import (
    HEADER_SIZE,
    MAGIC,
    MAX_BODY_SIZE,
    may_be_header,
    pack_header,
    unpack_header,
)
from pybrpc.protocols.baidu_std.usual_frames import (
    cut_usual,
    pack_usual_request,
    pack_usual_response,
    usual_request,
    usual_response,
)
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits, ParseOutcome

if TYPE_CHECKING or __impl__ == "python":
    from pybrpc.protocols.baidu_std.meta import (
        Meta,
        decode_meta,
        encode_request_meta,
        encode_response_meta,
        is_request,
        request_of,
        response_of,
    )
else:
    from pybrpc.protocols.baidu_std.meta_codec import (
        Meta,
        decode_meta,
        encode_request_meta,
        encode_response_meta,
        is_request,
        request_of,
        response_of,
    )

_IS_COMPILED = __impl__ == "compiled"

MAX_OVERSIZED_META = 64 * 1024
"""Bytes of meta that are awaited, for its correlation id, of a message over the limit."""

SMALL_SIZE = 4096
"""Up to this many bytes it is cheaper to copy than to share: such frames are cut in one piece,
and such bodies are packed into one block with their header."""


_HEADER_SIZE = HEADER_SIZE
_SMALL_SIZE = SMALL_SIZE


class BaiduStd:
    """The baidu_std protocol. Stateless; one object serves all connections and threads."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return "baidu_std"

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        if _IS_COMPILED:
            usual = cut_usual(buffer, limits)
            if usual is not None:
                return usual
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
            awaited = meta_size if meta_size <= _meta_limit(limits) else 0
        return max(0, HEADER_SIZE + awaited - len(buffer))

    def pack_request(self, request: RpcRequest) -> IOBuf:
        try:
            if _IS_COMPILED:
                frame = pack_usual_request(request)
                if frame is not None:
                    return _with_attachment(iobuf_of(frame), request.attachment)
            meta = encode_request_meta(request, _size_of(request.attachment))
            return _pack(meta, request.body, request.attachment)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadRequestError(f"Fail to pack request: {error}") from error

    def pack_plain_request(
        self, correlation_id: int, service: str, method: str, timeout_ms: int | None, body: bytes
    ) -> IOBuf:
        if _IS_COMPILED:
            try:
                frame = usual_request(correlation_id, service, method, timeout_ms, body, None)
            except (ValueError, TypeError) as error:
                raise BadRequestError(f"Fail to pack request: {error}") from error
            if frame is not None:
                return iobuf_of(frame)
        request = RpcRequest(correlation_id, service, method, body, timeout_ms=timeout_ms)
        return self.pack_request(request)

    def pack_response(self, response: RpcResponse) -> IOBuf:
        try:
            if _IS_COMPILED:
                frame = pack_usual_response(response)
                if frame is not None:
                    return _with_attachment(iobuf_of(frame), response.attachment)
            meta = encode_response_meta(response, _size_of(response.attachment))
            return _pack(meta, response.body, response.attachment)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadResponseError(f"Fail to pack response: {error}") from error

    def pack_plain_response(self, correlation_id: int, body: bytes) -> IOBuf:
        if _IS_COMPILED:
            frame = usual_response(correlation_id, body, None)
            if frame is not None:
                return iobuf_of(frame)
        return self.pack_response(RpcResponse(correlation_id, body=body))


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
    return _message(meta, body, attachment)


def _message(meta: Meta, body: BytesLike, attachment: IOBuf | None) -> RpcRequest | RpcResponse:
    if is_request(meta):
        return request_of(meta, body, attachment)
    return response_of(meta, body, attachment)


def _bad_attachment(meta: Meta, payload_size: int) -> BadMessage:
    asks = is_request(meta)
    what = "request" if asks else "response"
    fault = "negative" if meta.attachment_size < 0 else f"larger than {what}_size={payload_size}"
    reason = f"attachment_size={meta.attachment_size} is {fault}"
    return BadMessage(meta.correlation_id, asks, reason)


def _meta_limit(limits: ParseLimits) -> int:
    return min(MAX_OVERSIZED_META, limits.max_body_size)


def _parse_oversized(
    buffer: IOBuf, body_size: int, meta_size: int, limits: ParseLimits
) -> ParseOutcome:
    limit = limits.max_body_size
    if meta_size > _meta_limit(limits):
        return Broken(f"body_size={body_size} is larger than max_body_size={limit}")
    if len(buffer) < HEADER_SIZE + meta_size:
        return NEED_MORE
    meta = decode_meta(buffer.cut_contiguous(HEADER_SIZE + meta_size)[HEADER_SIZE:])
    return OversizedMessage(meta.correlation_id, is_request(meta), body_size, limit)


def _size_of(attachment: IOBuf | None) -> int:
    if attachment is None:
        return 0
    size = len(attachment)
    if size > MAX_BODY_SIZE:
        raise ValueError(f"an attachment of {size} bytes; at most {MAX_BODY_SIZE} can be sent")
    return size


def _with_attachment(packed: IOBuf, attachment: IOBuf | None) -> IOBuf:
    if attachment is not None:
        packed.append(attachment)
    return packed


def _pack(meta: bytes, body: BytesLike, attachment: IOBuf | None) -> IOBuf:
    if type(body) is not bytes:
        body = memoryview(body).cast("B")
    body_size = len(meta) + len(body) + _size_of(attachment)
    if body_size > MAX_BODY_SIZE:
        raise ValueError(f"{body_size} bytes are more than the {MAX_BODY_SIZE} of a frame")
    header = pack_header(body_size, len(meta))
    if len(body) <= SMALL_SIZE:
        packed = IOBuf(b"".join((header, meta, body)))
    else:
        packed = IOBuf(header + meta)
        packed.append(body)
    return _with_attachment(packed, attachment)
