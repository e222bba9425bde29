"""Frames of the usual kind, by hand, in one pass and with as few objects as can be.

Nearly all calls look alike: a service, a method, a timeout, a small body and perhaps an attachment,
nothing compressed or summed, no ids for tracing. Of such a frame all but the correlation id, the
body and the attachment is what it was in the call before, so that is kept: a template for packing,
what a field `request` says for reading. What is not usual is `None` here, and left to `baidu_std`
and the codec of the meta: both give the same for all frames, errors included.

Compiled, it takes a third of their time; as plain Python it takes longer. So it is used in compiled
code only.
"""

from __future__ import annotations

from pybrpc.base.implementation import __impl__
from pybrpc.errors import ProtocolError
from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE, MAGIC
from pybrpc.protocols.baidu_std.meta_codec import (
    decode_meta,
    encode_request_meta,
    encode_response_meta,
    request_of,
)
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import ParseLimits

MOST_KEPT = 512
LONGEST_KEPT = 512
"""So many templates and fields are kept, of at most so many bytes each: peers and callers may use
more names and timeouts than that."""

_SMALL_BODY = 4096
_LARGEST_ATTACHMENT = 1 << 30
_ROOM = 24
"""What follows a template: two varints, and the fields of the checksum and the like."""

_IS_COMPILED = __impl__ == "compiled"

_DRAFT = bytearray(HEADER_SIZE + 512 + 24)
"""Where compiled code puts a frame together. It has the GIL from the first byte to the last, so one
is enough for all threads."""

_LONGEST_COPIED = 4096
"""A longer body is rather shared than copied."""

_HEADER_SIZE = _META_START = HEADER_SIZE
_P, _R, _P, _C = MAGIC
_ZERO = 0
_HIGHEST_ID = 2**63 - 1
_NO_ID_AND_TAIL = b"\0\x50\0\x58\0\x62\0"
"""The end of a usual meta with the correlation id 0."""

_templates: dict[tuple[str, str, int | None], bytes] = {}
_last: tuple[str | None, str, int | None, bytes] = None, "", None, b""
"""The template that was used last, and of what."""

_requests: dict[bytes, tuple[str, str, int | None]] = {}


def pack_usual_request(request: RpcRequest) -> bytes | None:
    """The frame of `request`, up to its attachment; `None` if it is not a usual one.

    ValueError or TypeError, as by `encode_request_meta`, for names that can't be written.
    """
    if (
        request.log_id is not None
        or request.request_id is not None
        or request.trace_id is not None
        or request.span_id is not None
        or request.parent_span_id is not None
        or request.user_fields is not None
        or request.credential is not None
        or request.compress_type is not _ZERO
        or request.content_type is not _ZERO
        or request.checksum_type is not _ZERO
        or request.checksum_value != b""
        or request.checksum_with_attachment is not None
        or request.stream_settings is not None
    ):
        return None
    return usual_request(
        request.correlation_id,
        request.service,
        request.method,
        request.timeout_ms,
        request.body,
        request.attachment,
    )


def usual_request(
    correlation_id: int,
    service: str,
    method: str,
    timeout_ms: int | None,
    body: BytesLike,
    attachment: IOBuf | None,
) -> bytes | None:
    """The frame of a request that has nothing else; as `pack_usual_request`."""
    # Equal keys must mean equal bytes; 1.0 and True are equal to 1.
    if timeout_ms is not None and type(timeout_ms) is not int:
        return None
    global _last
    last = _last
    if service is last[0] and method is last[1] and timeout_ms == last[2]:
        return _fill(last[3], correlation_id, body, attachment)
    template = _templates.get((service, method, timeout_ms))
    if template is None:
        template = _new_template(service, method, timeout_ms)
        if template is None:
            return None
    _last = service, method, timeout_ms, template
    return _fill(template, correlation_id, body, attachment)


def pack_usual_response(response: RpcResponse) -> bytes | None:
    """The frame of `response`, up to its attachment; `None` if it is not a usual one."""
    if (
        response.error_code is not _ZERO
        or response.error_text
        or response.user_fields is not None
        or response.compress_type is not _ZERO
        or response.content_type is not _ZERO
        or response.checksum_type is not _ZERO
        or response.checksum_value != b""
        or response.checksum_with_attachment is not None
        or response.stream_settings is not None
    ):
        return None
    return usual_response(response.correlation_id, response.body, response.attachment)


def usual_response(correlation_id: int, body: BytesLike, attachment: IOBuf | None) -> bytes | None:
    """The frame of a response that has nothing else; as `pack_usual_response`."""
    return _fill(_SUCCESS, correlation_id, body, attachment)


def cut_usual(buffer: IOBuf, limits: ParseLimits) -> RpcRequest | RpcResponse | None:
    """Cut the message at the front, if it is usual and whole, and all before its attachment lies in
    one block; else `None`."""
    blocks = buffer._blocks
    if not blocks or type(blocks[0]) is not bytes:
        return None
    data = block = blocks[0]
    start = buffer._start
    room = len(block) - start - _HEADER_SIZE
    if (
        room < 0
        or data[start] != _P
        or data[start + 1] != _R
        or data[start + 2] != _P
        or data[start + 3] != _C
    ):
        return None
    body_size = data[start + 4]
    body_size = body_size << 24 | data[start + 5] << 16 | data[start + 6] << 8 | data[start + 7]
    # A size with a bit above the 16th is over the limit of here anyway.
    meta_size = data[start + 10] << 8 | data[start + 11]
    if (
        data[start + 8] | data[start + 9]
        or meta_size > body_size
        or meta_size > room
        or body_size > buffer._size - _HEADER_SIZE
        or body_size > limits.max_body_size
        or meta_size > limits.max_meta_size
    ):
        return None
    start += _HEADER_SIZE
    return _read(buffer, block, start, start + meta_size, start + body_size)


def _read(
    buffer: IOBuf, block: bytes, at: int, meta_end: int, end: int
) -> RpcRequest | RpcResponse | None:
    """Cut the message whose meta is block[at:meta_end]; the rest of it goes on up to `end`, though
    `block` may end before."""
    data = block
    before = at - _HEADER_SIZE
    correlation_id = attachment_size = 0
    compress_type = content_type = checksum_type = -1
    has_value = False
    request: tuple[str, str, int | None] | None = None
    while at + 1 < meta_end:
        tag, value = data[at], data[at + 1]
        at += 2
        if tag == 0x20 or tag == 0x28:
            number = value & 0x7F
            shift = 0
            while value >= 0x80:
                shift += 7
                if at >= meta_end or shift > 56:
                    return None
                value = data[at]
                at += 1
                number |= (value & 0x7F) << shift
            if tag == 0x20:
                correlation_id = number
            else:
                attachment_size = number
        elif value >= 0x80:
            return None
        elif tag == 0x0A:
            if request is not None or at + value > meta_end:
                return None
            request = _requests.get(data[at : at + value])
            if request is None:
                request = _new_request(data[at - 2 : at + value])
                if request is None:
                    return None
            at += value
        elif tag == 0x12:
            if value == 2 and at + 2 <= meta_end and data[at] == 0x08 and data[at + 1] == 0:
                at += 2
            elif value:
                return None
        elif tag == 0x18:
            compress_type = value
        elif tag == 0x50:
            content_type = value
        elif tag == 0x58:
            checksum_type = value
        elif tag == 0x62 and not value:
            has_value = True
        else:
            return None
    if at != meta_end or attachment_size > end - meta_end:
        return None
    body_end = end - attachment_size
    if body_end > len(block) or body_end - meta_end > _LONGEST_COPIED:
        return None
    body = data[meta_end:body_end]
    buffer.pop_front(body_end - before)
    attachment = buffer.cutn(attachment_size) if attachment_size else None
    if request is not None:
        asked = RpcRequest(correlation_id, request[0], request[1], body, attachment)
        asked.timeout_ms = request[2]
        asked.compress_type = None if compress_type < 0 else compress_type
        asked.content_type = None if content_type < 0 else content_type
        asked.checksum_type = None if checksum_type < 0 else checksum_type
        asked.checksum_value = b"" if has_value else None
        return asked
    answer = RpcResponse(correlation_id, 0, "", body, attachment)
    answer.compress_type = None if compress_type < 0 else compress_type
    answer.content_type = None if content_type < 0 else content_type
    answer.checksum_type = None if checksum_type < 0 else checksum_type
    answer.checksum_value = b"" if has_value else None
    return answer


def _new_template(service: str, method: str, timeout_ms: int | None) -> bytes | None:
    """The frame of any such request, without its correlation id and body."""
    alike = RpcRequest(0, service, method, timeout_ms=timeout_ms)
    template = _template_of(encode_request_meta(alike, 0))
    if len(template) > LONGEST_KEPT:
        return None
    if len(_templates) >= MOST_KEPT:
        _templates.clear()
    _templates[service, method, timeout_ms] = template
    return template


def _template_of(meta: bytes) -> bytes:
    assert meta.endswith(_NO_ID_AND_TAIL)
    return MAGIC + bytes(8) + meta[: -len(_NO_ID_AND_TAIL)]


_SUCCESS = _template_of(encode_response_meta(RpcResponse(0), 0))


def _fill(
    template: bytes, correlation_id: int, body: BytesLike, attachment: IOBuf | None
) -> bytes | None:
    if (
        type(body) is not bytes
        or len(body) > _SMALL_BODY
        or type(correlation_id) is not int
        or not 0 <= correlation_id <= _HIGHEST_ID
    ):
        return None
    attachment_size = 0
    if attachment is not None:
        attachment_size = len(attachment)
        if attachment_size > _LARGEST_ATTACHMENT:
            return None
    size = len(template)
    draft = _DRAFT if _IS_COMPILED else bytearray(size + _ROOM)
    source, frame = template, draft
    at = 0
    while at < size:
        frame[at] = source[at]
        at += 1
    at = _put_varint(frame, at, correlation_id)
    if attachment_size:
        frame[at] = 0x28
        at = _put_varint(frame, at + 1, attachment_size)
    frame[at] = 0x50
    frame[at + 1] = 0
    frame[at + 2] = 0x58
    frame[at + 3] = 0
    frame[at + 4] = 0x62
    frame[at + 5] = 0
    at += 6
    size = at - _META_START
    frame[10], frame[11] = size >> 8, size & 0xFF
    size += len(body) + attachment_size
    frame[4], frame[5], frame[6], frame[7] = (
        size >> 24,
        size >> 16 & 0xFF,
        size >> 8 & 0xFF,
        size & 0xFF,
    )
    return b"".join((frame[:at], body))


def _put_varint(frame: bytearray, at: int, number: int) -> int:
    """Where it ends."""
    while number > 0x7F:
        frame[at] = number & 0x7F | 0x80
        number >>= 7
        at += 1
    frame[at] = number
    return at + 1


def _new_request(field: bytes) -> tuple[str, str, int | None] | None:
    """What the field `request` says, tag and size included; `None` if it is not a usual one."""
    try:
        asked = request_of(decode_meta(field), b"", None)
    except ProtocolError:
        return None
    if (
        asked.log_id is not None
        or asked.request_id is not None
        or asked.trace_id is not None
        or asked.span_id is not None
        or asked.parent_span_id is not None
    ):
        return None
    if len(_requests) >= MOST_KEPT:
        _requests.clear()
    found = _requests[field[2:]] = (asked.service, asked.method, asked.timeout_ms)
    return found
