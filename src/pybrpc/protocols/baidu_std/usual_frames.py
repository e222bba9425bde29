"""Small frames of the usual kind, by hand, in one pass and with as few objects as can be.

Nearly all calls look alike: a service, a method, a timeout and a small body, no attachment, nothing
compressed or summed, no ids for tracing. Of such a frame all but the correlation id and the body is
what it was in the call before, so that is kept: a template for packing, what a field `request` says
for reading. What is not usual is `None` here, and left to `baidu_std` and the codec of the meta:
both give the same for all frames, errors included.

Compiled, it takes a third of their time; as plain Python it takes longer. So it is used in compiled
code only.
"""

from __future__ import annotations

from pybrpc.errors import ProtocolError
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE, MAGIC
from pybrpc.protocols.baidu_std.meta_codec import (
    decode_meta,
    encode_request_meta,
    encode_response_meta,
    request_of,
)
from pybrpc.protocols.message import RpcRequest, RpcResponse

MOST_KEPT = 512
LONGEST_KEPT = 512
"""So many templates and fields are kept, of at most so many bytes each: peers and callers may use
more names and timeouts than that."""

_SMALL_BODY = 4096
_ROOM = 16
"""What a template ends with: room for a varint, and for the fields of the checksum and the like."""

_META_START = HEADER_SIZE
_ZERO = 0
_HIGHEST_ID = 2**63 - 1
_NO_ID_AND_TAIL = b"\0\x50\0\x58\0\x62\0"
"""The end of a usual meta with the correlation id 0."""

_templates: dict[tuple[str, str, int | None], bytes] = {}
_requests: dict[bytes, tuple[str, str, int | None]] = {}


def pack_usual_request(request: RpcRequest) -> bytes | None:
    """The frame of `request`; `None` if it is not a usual one.

    ValueError or TypeError, as by `encode_request_meta`, for names that can't be written.
    """
    body, timeout_ms = request.body, request.timeout_ms
    if (
        type(body) is not bytes
        or len(body) > _SMALL_BODY
        or request.attachment is not None
        or request.log_id is not None
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
        # Equal keys must mean equal bytes; 1.0 and True are equal to 1.
        or (timeout_ms is not None and type(timeout_ms) is not int)
    ):
        return None
    template = _templates.get((request.service, request.method, timeout_ms))
    if template is None:
        template = _new_template(request)
        if template is None:
            return None
    return _fill(template, request.correlation_id, body)


def pack_usual_response(response: RpcResponse) -> bytes | None:
    """The frame of `response`; `None` if it is not a usual one."""
    body = response.body
    if (
        type(body) is not bytes
        or len(body) > _SMALL_BODY
        or response.error_code is not _ZERO
        or response.error_text
        or response.attachment is not None
        or response.user_fields is not None
        or response.compress_type is not _ZERO
        or response.content_type is not _ZERO
        or response.checksum_type is not _ZERO
        or response.checksum_value != b""
        or response.checksum_with_attachment is not None
        or response.stream_settings is not None
    ):
        return None
    return _fill(_SUCCESS, response.correlation_id, body)


def read_usual(frame: bytes, meta_end: int) -> RpcRequest | RpcResponse | None:
    """The message of a whole frame whose meta ends at `meta_end`; `None` if it is not usual."""
    at = _META_START
    correlation_id = 0
    compress_type = content_type = checksum_type = -1
    has_value = False
    request: tuple[str, str, int | None] | None = None
    while at + 1 < meta_end:
        tag, value = frame[at], frame[at + 1]
        at += 2
        if tag == 0x20:
            correlation_id = value & 0x7F
            shift = 0
            while value >= 0x80:
                shift += 7
                if at >= meta_end or shift > 56:
                    return None
                value = frame[at]
                at += 1
                correlation_id |= (value & 0x7F) << shift
        elif value >= 0x80:
            return None
        elif tag == 0x0A:
            if request is not None or at + value > meta_end:
                return None
            request = _requests.get(frame[at : at + value])
            if request is None:
                request = _new_request(frame[at - 2 : at + value])
                if request is None:
                    return None
            at += value
        elif tag == 0x12:
            if value == 2 and at + 2 <= meta_end and frame[at] == 0x08 and frame[at + 1] == 0:
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
    if at != meta_end:
        return None
    if request is not None:
        asked = RpcRequest(correlation_id, request[0], request[1], frame[meta_end:])
        asked.timeout_ms = request[2]
        asked.compress_type = None if compress_type < 0 else compress_type
        asked.content_type = None if content_type < 0 else content_type
        asked.checksum_type = None if checksum_type < 0 else checksum_type
        asked.checksum_value = b"" if has_value else None
        return asked
    answer = RpcResponse(correlation_id, 0, "", frame[meta_end:])
    answer.compress_type = None if compress_type < 0 else compress_type
    answer.content_type = None if content_type < 0 else content_type
    answer.checksum_type = None if checksum_type < 0 else checksum_type
    answer.checksum_value = b"" if has_value else None
    return answer


def _new_template(request: RpcRequest) -> bytes | None:
    """The frame of any request that is like this one, without its correlation id and body."""
    alike = RpcRequest(0, request.service, request.method, timeout_ms=request.timeout_ms)
    template = _template_of(encode_request_meta(alike, 0))
    if len(template) > LONGEST_KEPT:
        return None
    if len(_templates) >= MOST_KEPT:
        _templates.clear()
    _templates[request.service, request.method, request.timeout_ms] = template
    return template


def _template_of(meta: bytes) -> bytes:
    assert meta.endswith(_NO_ID_AND_TAIL)
    return MAGIC + bytes(8) + meta[: -len(_NO_ID_AND_TAIL)] + bytes(_ROOM)


_SUCCESS = _template_of(encode_response_meta(RpcResponse(0), 0))


def _fill(template: bytes, correlation_id: int, body: bytes) -> bytes | None:
    if type(correlation_id) is not int or not 0 <= correlation_id <= _HIGHEST_ID:
        return None
    number = correlation_id
    frame = bytearray(template)
    at = len(template) - _ROOM
    while number > 0x7F:
        frame[at] = number & 0x7F | 0x80
        number >>= 7
        at += 1
    frame[at] = number
    frame[at + 1] = 0x50
    frame[at + 3] = 0x58
    frame[at + 5] = 0x62
    at += 7
    _put_size(frame, 4, at - _META_START + len(body))
    _put_size(frame, 8, at - _META_START)
    del frame[at:]
    return b"".join((frame, body))


def _put_size(frame: bytearray, at: int, size: int) -> None:
    """A size of the header; none is over 64 KiB here."""
    frame[at + 2] = size >> 8
    frame[at + 3] = size & 0xFF


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
