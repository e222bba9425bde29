"""Packs and parses the frames of most calls in one pass, with few objects.

Most calls look alike: a service, a method, a timeout, a small body and perhaps an attachment. They
use no compression, no checksum and no ids for tracing. From one such frame to the next only the
sizes, the correlation id, the body and the attachment change, so the rest is kept: packing fills in
a copy of the last frame's start, parsing looks up the bytes of the field `request`.

For every other frame the functions return `None`; then `baidu_std` uses the codec for all metas,
`meta_encoder` and `meta_decoder`. Both ways give the same bytes, messages and errors.
"""

from __future__ import annotations

from typing import TypeAlias

from pybrpc.errors import ProtocolError
from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE, MAGIC
from pybrpc.protocols.baidu_std.meta_decoder import decode_meta, request_of
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta, encode_response_meta
from pybrpc.protocols.message import RpcRequest, RpcResponse, new_request, new_response
from pybrpc.protocols.protocol import ParseLimits

Asked: TypeAlias = tuple[str, str, int | None]
"""The service, the method and the timeout of a request."""

MAX_KEPT = 512
"""The most templates, and the most parsed fields `request`, that are kept. Peers and callers may
use more names and timeouts than that."""

MAX_KEPT_BYTES = 512
"""The longest template that is kept."""

_MAX_BODY = 4096
"""A longer body is shared instead of copied, so it is left to `baidu_std`."""

_MAX_ATTACHMENT = 1 << 30
_HIGHEST_ID = 2**63 - 1
_HEADER_SIZE = HEADER_SIZE
_P, _R, _P, _C = MAGIC
_ZERO = 0

_END_OF_META = b"\x20\0\x50\0\x58\0\x62\0"
"""The end of an encoded meta: correlation_id 0, no attachment, content_type and checksum_type 0 and
an empty checksum_value. A template has only the first of these bytes, the tag of correlation_id."""

_ROOM = 24
"""The bytes behind a template: correlation_id (10), attachment_size (6), the rest of the meta (6).
"""

_DRAFTS = 4
"""The drafts of a new template. Compiled code pops from a list, and appends to it, without calling
Python, while more than half of the list's memory is used."""


class Template:
    """The start of all frames of one method and timeout, up to the correlation id.

    A draft is a copy of it with room for the rest of the meta. To pack a frame, a thread takes a
    draft, overwrites the rest, and puts the draft back: `list.pop` and `list.append` are atomic, so
    threads that pack at the same time have different drafts.
    """

    __slots__ = ("_drafts", "_start")

    def __init__(self, meta: bytes) -> None:
        assert meta.endswith(_END_OF_META)
        self._start = MAGIC + bytes(8) + meta[: 1 - len(_END_OF_META)]
        self._drafts = [self._new_draft() for _ in range(_DRAFTS)]

    def __len__(self) -> int:
        return len(self._start)

    def fill(self, correlation_id: int, body: BytesLike, attachment: IOBuf | None) -> bytes | None:
        """A frame, without the bytes of its attachment; `None` if it is not a fast one."""
        if (
            type(body) is not bytes
            or len(body) > _MAX_BODY
            or type(correlation_id) is not int
            or not 0 <= correlation_id <= _HIGHEST_ID
        ):
            return None
        attachment_size = 0
        if attachment is not None:
            attachment_size = len(attachment)
            if attachment_size > _MAX_ATTACHMENT:
                return None
        draft = self._take_draft()
        frame = draft
        at = _put_varint(frame, len(self._start), correlation_id)
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
        size = at - _HEADER_SIZE
        frame[10], frame[11] = size >> 8, size & 0xFF
        size += len(body) + attachment_size
        frame[4] = size >> 24
        frame[5] = size >> 16 & 0xFF
        frame[6] = size >> 8 & 0xFF
        frame[7] = size & 0xFF
        packed = b"".join((frame[:at], body))
        self._drafts.append(draft)
        return packed

    def _take_draft(self) -> bytearray:
        try:
            return self._drafts.pop()
        except IndexError:
            return self._new_draft()

    def _new_draft(self) -> bytearray:
        return bytearray(self._start + bytes(_ROOM))


def _put_varint(frame: bytearray, at: int, number: int) -> int:
    """Write a varint at index `at`; return the index after it."""
    while number > 0x7F:
        frame[at] = number & 0x7F | 0x80
        number >>= 7
        at += 1
    frame[at] = number
    return at + 1


_success = Template(encode_response_meta(RpcResponse(0), 0))
_templates: dict[Asked, Template] = {}
_last: tuple[str | None, str, int | None, Template] = None, "", None, _success
"""The template that was used last, after its service, method and timeout."""

_parsed: dict[bytes, Asked] = {}
"""The service, method and timeout in a field `request`, by the bytes of that field."""


def clear_tables() -> None:
    """Empty both tables, so that a test can count the objects that are left. Any thread."""
    _templates.clear()
    _parsed.clear()


def is_fast_request(request: RpcRequest) -> bool:
    """Whether all fields that `pack_fast_request` doesn't take have their defaults."""
    return not (
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
    )


def is_fast_response(response: RpcResponse) -> bool:
    """Whether all fields that `pack_fast_response` doesn't take have their defaults."""
    return not (
        response.error_code is not _ZERO
        or response.error_text
        or response.user_fields is not None
        or response.compress_type is not _ZERO
        or response.content_type is not _ZERO
        or response.checksum_type is not _ZERO
        or response.checksum_value != b""
        or response.checksum_with_attachment is not None
        or response.stream_settings is not None
    )


def pack_fast_request(
    correlation_id: int,
    service: str,
    method: str,
    timeout_ms: int | None,
    body: BytesLike,
    attachment: IOBuf | None,
) -> bytes | None:
    """The frame of a request, without the bytes of its attachment; `None` if it is not a fast one.

    Errors as in `encode_request_meta`.
    """
    # Equal keys must mean equal bytes; 1.0 and True are equal to 1.
    if timeout_ms is not None and type(timeout_ms) is not int:
        return None
    global _last
    last = _last
    template: Template | None
    if service is last[0] and method is last[1] and timeout_ms == last[2]:
        template = last[3]
    else:
        template = _template_of(service, method, timeout_ms)
        if template is None:
            return None
        _last = service, method, timeout_ms, template
    return template.fill(correlation_id, body, attachment)


def pack_fast_response(
    correlation_id: int, body: BytesLike, attachment: IOBuf | None
) -> bytes | None:
    """The frame of a successful response, without the bytes of its attachment; `None` if it is not
    a fast one."""
    return _success.fill(correlation_id, body, attachment)


def _template_of(service: str, method: str, timeout_ms: int | None) -> Template | None:
    template = _templates.get((service, method, timeout_ms))
    if template is None:
        request = RpcRequest(0, service, method, timeout_ms=timeout_ms)
        template = Template(encode_request_meta(request, 0))
        if len(template) > MAX_KEPT_BYTES:
            return None
        if len(_templates) >= MAX_KEPT:
            _templates.clear()
        _templates[service, method, timeout_ms] = template
    return template


def parse_fast(buffer: IOBuf, limits: ParseLimits) -> RpcRequest | RpcResponse | None:
    """Cut the message at the front of `buffer`. `None`, and nothing is cut, if it is incomplete,
    not a fast one, or if its meta and body are not in one block."""
    blocks = buffer._blocks
    if not blocks or type(blocks[0]) is not bytes:
        return None
    data = block = blocks[0]
    at = buffer._start
    room = len(block) - at - _HEADER_SIZE
    if (
        room < 2
        or data[at] != _P
        or data[at + 1] != _R
        or data[at + 2] != _P
        or data[at + 3] != _C
        or data[at + 8]
        or data[at + 9]
    ):
        return None
    body_size = data[at + 4]
    body_size = body_size << 24 | data[at + 5] << 16 | data[at + 6] << 8 | data[at + 7]
    meta_size = data[at + 10] << 8 | data[at + 11]
    if (
        meta_size > room
        or meta_size > body_size
        or meta_size > limits.max_meta_size
        or body_size > limits.max_body_size
        or body_size > buffer._size - _HEADER_SIZE
    ):
        return None
    at += _HEADER_SIZE
    meta_end, end = at + meta_size, at + body_size
    request = None
    tag, size = data[at], data[at + 1]
    if tag == 0x0A or tag == 0x12:
        field_end = at + 2 + size
        if size >= 0x80 or field_end > meta_end:
            return None
        if tag == 0x0A:
            field = data[at:field_end]
            request = _parsed.get(field)
            if request is None:
                request = _parse_request(field)
                if request is None:
                    return None
        elif size and not (size == 2 and data[at + 2] == 0x08 and data[at + 3] == 0):
            return None
        at = field_end
    return _parse_rest(buffer, block, at, meta_end, end, request)


def _parse_rest(
    buffer: IOBuf, block: bytes, at: int, meta_end: int, end: int, asked: Asked | None
) -> RpcRequest | RpcResponse | None:
    """Parse block[at:meta_end], the meta after its field `request` or `response`, and cut the
    message. It ends at index `end`, which may be behind the end of `block`."""
    data = block
    correlation_id = attachment_size = 0
    compress_type = content_type = checksum_type = checksum_value = None
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
        elif tag == 0x18:
            compress_type = value
        elif tag == 0x50:
            content_type = value
        elif tag == 0x58:
            checksum_type = value
        elif tag == 0x62 and not value:
            checksum_value = b""
        else:
            return None
    body_end = end - attachment_size
    if at != meta_end or not meta_end <= body_end <= len(block) or body_end - meta_end > _MAX_BODY:
        return None
    body = data[meta_end:body_end]
    buffer.pop_front(body_end - buffer._start)
    attachment = buffer.cutn(attachment_size) if attachment_size else None
    if asked is None:
        response = new_response(correlation_id, body)
        response.attachment = attachment
        response.compress_type = compress_type
        response.content_type = content_type
        response.checksum_type = checksum_type
        response.checksum_value = checksum_value
        return response
    service, method, timeout_ms = asked
    request = new_request(correlation_id, service, method, timeout_ms, body)
    request.attachment = attachment
    request.compress_type = compress_type
    request.content_type = content_type
    request.checksum_type = checksum_type
    request.checksum_value = checksum_value
    return request


def _parse_request(field: bytes) -> Asked | None:
    """The service, method and timeout in a field `request`, whose tag and size are included; `None`
    if the field is malformed or has more."""
    at = 2
    for tag in b"\x0a\x12":
        if at + 1 < len(field) and field[at] == tag:
            at += 2 + field[at + 1]
    if at < len(field) and field[at] != 0x40:  # ids, which differ from call to call
        return None
    try:
        request = request_of(decode_meta(field), b"", None)
    except ProtocolError:
        return None
    if (
        request.log_id is not None
        or request.request_id is not None
        or request.trace_id is not None
        or request.span_id is not None
        or request.parent_span_id is not None
    ):
        return None
    if len(_parsed) >= MAX_KEPT:
        _parsed.clear()
    found = _parsed[field] = (request.service, request.method, request.timeout_ms)
    return found
