"""Decodes the meta of a frame, and makes an `RpcRequest` or an `RpcResponse` of it.

The meta is a protobuf message, RpcMeta (see `schema`). It is decoded here by hand, because
protobuf's own class takes longer when this module is compiled. The tests compare both for all
kinds of bytes.

Wire format (protobuf.dev/programming-guides/encoding): each field is a varint of
number << 3 | wire type, followed by a varint (wire type 0), 8 bytes (1), a length and so many bytes
(2), a group (3, ended by a 4) or 4 bytes (5). A field with an unexpected wire type is skipped like
an unknown one. If a field occurs twice, the last value counts; messages are merged.

Names, `error_text` and `request_id` are text for people and for lookups: bytes that are not UTF-8
become replacement characters. User fields are data: such bytes become surrogate escapes, and
encoding gives the same bytes again.
"""

from __future__ import annotations

from pybrpc.errors import ProtocolError
from pybrpc.iobuf import BytesLike
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import (
    RpcRequest,
    RpcResponse,
    StreamSettings,
    new_request,
    new_response,
)

_MASK_64 = 0xFFFFFFFFFFFFFFFF
_MASK_32 = 0xFFFFFFFF
_SIGN_64 = 0x8000000000000000
_SIGN_32 = 0x80000000
_LAST_TAG = 0xFFFFFFFF

_MAX_FIELD_BYTES = 0x7FFFFFFF
"""The longest field that protobuf accepts."""

_MAX_DEPTH = 100
"""How deep messages and groups may nest, the outermost message not counted; protobuf's limit."""

_UNDECODABLE = "meta is not an RpcMeta"


class Meta:
    """The decoded fields of an RpcMeta, including those of its request, response and stream
    settings. Absent fields are `None`, or the default of the type where absence has no meaning.
    Text is `bytes`."""

    __slots__ = (
        "attachment_size",
        "authentication_data",
        "checksum_type",
        "checksum_value",
        "checksum_with_attachment",
        "compress_type",
        "content_type",
        "correlation_id",
        "error_code",
        "error_text",
        "extra_stream_ids",
        "has_stream_settings",
        "is_request",
        "log_id",
        "method_name",
        "need_feedback",
        "parent_span_id",
        "request_id",
        "service_name",
        "span_id",
        "stream_id",
        "timeout_ms",
        "trace_id",
        "user_fields",
        "writable",
    )

    def __init__(self) -> None:
        self.attachment_size = 0
        self.authentication_data: bytes | None = None
        self.checksum_type: int | None = None
        self.checksum_value: bytes | None = None
        self.checksum_with_attachment: bool | None = None
        self.compress_type: int | None = None
        self.content_type: int | None = None
        self.correlation_id = 0
        self.error_code = 0
        self.error_text: bytes = b""
        self.extra_stream_ids: list[int] | None = None
        self.has_stream_settings = False
        self.is_request = False
        self.log_id: int | None = None
        self.method_name: bytes | None = None
        self.need_feedback: bool | None = None
        self.parent_span_id: int | None = None
        self.request_id: bytes | None = None
        self.service_name: bytes | None = None
        self.span_id: int | None = None
        self.stream_id: int | None = None
        self.timeout_ms: int | None = None
        self.trace_id: int | None = None
        self.user_fields: dict[str, str] | None = None
        self.writable: bool | None = None


class _Reader:
    """Reads the fields of one message: `data` from `position` to `end`. `depth` is 0 for the
    outermost message. Malformed bytes raise ProtocolError."""

    __slots__ = ("data", "depth", "end", "position")

    def __init__(self, data: bytes, position: int, end: int, depth: int) -> None:
        self.data = data
        self.position = position
        self.end = end
        self.depth = depth

    def read_varint(self) -> int:
        """A number from 0 to 2**64 - 1. A varint has up to ten bytes; bits above 64 are lost."""
        data, position = self.data, self.position
        value = 0
        shift = 0
        while position < self.end and shift < 70:
            byte = data[position]
            position += 1
            if byte < 0x80:
                self.position = position
                return (value | byte << shift) & _MASK_64
            value |= (byte & 0x7F) << shift
            shift += 7
        raise ProtocolError(_UNDECODABLE)

    def read_tag(self) -> int:
        """The number and the wire type of the next field, in one integer. The caller must have
        checked that a field follows."""
        start = self.position
        tag = self.data[start]
        if 8 <= tag < 0x80:
            self.position = start + 1
            return tag
        value = self.read_tag_in_group()
        if value < 8:
            raise ProtocolError(_UNDECODABLE)
        return value

    def read_tag_in_group(self) -> int:
        """Read a tag whose number may be 0, which protobuf accepts in groups."""
        start = self.position
        value = self.read_varint()
        if value > _LAST_TAG or self.position - start > 5:
            raise ProtocolError(_UNDECODABLE)
        return value

    def read_int64(self) -> int:
        return _signed_64(self.read_varint())

    def read_int32(self) -> int:
        return _signed_32(self.read_varint())

    def read_bool(self) -> bool:
        return self.read_varint() != 0

    def read_length(self) -> int:
        """The length of the bytes that follow; all of them are before `end`."""
        start = self.position
        size = self.read_varint()
        left = self.end - self.position  # at least 0
        if size > _MAX_FIELD_BYTES or self.position - start > 5 or left < size:
            raise ProtocolError(_UNDECODABLE)
        return size

    def read_bytes(self) -> bytes:
        size = self.read_length()
        start = self.position
        self.position = start + size
        return self.data[start : start + size]

    def read_message(self) -> _Reader:
        """A reader for the message that follows, which is skipped here."""
        size = self.read_length()
        start = self.position
        self.position = start + size
        return _Reader(self.data, start, start + size, self.depth + 1)

    def skip(self, tag: int) -> None:
        """Skip the value of an unknown field whose tag has been read."""
        wire_type = tag & 7
        if wire_type == 0:
            self.read_varint()
        elif wire_type == 2:
            size = self.read_length()
            self.position += size
        elif wire_type == 1:
            self._skip_fixed(8)
        elif wire_type == 5:
            self._skip_fixed(4)
        elif wire_type == 3:
            self._skip_group(tag)
        else:
            raise ProtocolError(_UNDECODABLE)

    def _skip_fixed(self, size: int) -> None:
        if self.end - self.position < size:
            raise ProtocolError(_UNDECODABLE)
        self.position += size

    def _skip_group(self, tag: int) -> None:
        """Skip to the end of a group whose start tag has been read, inner groups included."""
        end_tags = [tag + 1]
        while end_tags:
            if len(end_tags) + self.depth > _MAX_DEPTH:
                raise ProtocolError(_UNDECODABLE)
            tag = self.read_tag_in_group()
            if tag & 7 == 3:
                end_tags.append(tag + 1)
            elif tag & 7 != 4:
                self.skip(tag)
            elif tag != end_tags.pop():
                raise ProtocolError(_UNDECODABLE)


def decode_meta(data: bytes | memoryview) -> Meta:
    """Decode an RpcMeta; ProtocolError if `data` is not a valid one.

    A meta without `request` belongs to a response: C++ treats an absent `response` as success.
    """
    raw = data if type(data) is bytes else bytes(data)
    meta = Meta()
    reader = _Reader(raw, 0, len(raw), 0)
    while reader.position < reader.end:
        tag = reader.read_tag()
        if tag == 0x0A:
            meta.is_request = True
            _decode_request(meta, reader.read_message())
        elif tag == 0x12:
            _decode_response(meta, reader.read_message())
        elif tag == 0x18:
            meta.compress_type = reader.read_int32()
        elif tag == 0x20:
            meta.correlation_id = reader.read_int64()
        elif tag == 0x28:
            meta.attachment_size = reader.read_int32()
        elif tag == 0x3A:
            meta.authentication_data = reader.read_bytes()
        elif tag == 0x42:
            meta.has_stream_settings = True
            _decode_stream_settings(meta, reader.read_message())
        elif tag == 0x4A:
            _decode_user_field(meta, reader.read_message())
        elif tag == 0x50:
            meta.content_type = reader.read_int32()
        elif tag == 0x58:
            meta.checksum_type = reader.read_int32()
        elif tag == 0x62:
            meta.checksum_value = reader.read_bytes()
        elif tag == 0x68:
            meta.checksum_with_attachment = reader.read_bool()
        else:
            reader.skip(tag)
    return meta


def request_of(meta: Meta, body: BytesLike, attachment: IOBuf | None) -> RpcRequest:
    """The request that `meta` describes; ProtocolError if a required field is missing."""
    service, method = meta.service_name, meta.method_name
    if service is None or method is None:
        raise ProtocolError("request has no service_name or no method_name")
    request = new_request(
        meta.correlation_id,
        service.decode("utf-8", "replace"),
        method.decode("utf-8", "replace"),
        meta.timeout_ms,
        body,
    )
    request.attachment = attachment
    request.log_id = meta.log_id
    request_id = meta.request_id
    if request_id is not None:
        request.request_id = request_id.decode("utf-8", "replace")
    request.trace_id = meta.trace_id
    request.span_id = meta.span_id
    request.parent_span_id = meta.parent_span_id
    request.user_fields = meta.user_fields
    request.credential = meta.authentication_data
    request.compress_type = meta.compress_type
    request.content_type = meta.content_type
    request.checksum_type = meta.checksum_type
    request.checksum_value = meta.checksum_value
    request.checksum_with_attachment = meta.checksum_with_attachment
    if meta.has_stream_settings:
        request.stream_settings = _stream_settings_of(meta)
    return request


def response_of(meta: Meta, body: BytesLike, attachment: IOBuf | None) -> RpcResponse:
    """The response that `meta` describes; an absent error_code is 0, as in C++.

    ProtocolError if a required field is missing.
    """
    response = new_response(meta.correlation_id, body)
    response.error_code = meta.error_code
    if meta.error_text:
        response.error_text = meta.error_text.decode("utf-8", "replace")
    response.attachment = attachment
    response.user_fields = meta.user_fields
    response.compress_type = meta.compress_type
    response.content_type = meta.content_type
    response.checksum_type = meta.checksum_type
    response.checksum_value = meta.checksum_value
    response.checksum_with_attachment = meta.checksum_with_attachment
    if meta.has_stream_settings:
        response.stream_settings = _stream_settings_of(meta)
    return response


def _decode_request(meta: Meta, reader: _Reader) -> None:
    while reader.position < reader.end:
        tag = reader.read_tag()
        if tag == 0x0A:
            meta.service_name = reader.read_bytes()
        elif tag == 0x12:
            meta.method_name = reader.read_bytes()
        elif tag == 0x18:
            meta.log_id = reader.read_int64()
        elif tag == 0x20:
            meta.trace_id = reader.read_int64()
        elif tag == 0x28:
            meta.span_id = reader.read_int64()
        elif tag == 0x30:
            meta.parent_span_id = reader.read_int64()
        elif tag == 0x3A:
            meta.request_id = reader.read_bytes()
        elif tag == 0x40:
            meta.timeout_ms = reader.read_int32()
        else:
            reader.skip(tag)


def _decode_response(meta: Meta, reader: _Reader) -> None:
    while reader.position < reader.end:
        tag = reader.read_tag()
        if tag == 0x08:
            meta.error_code = reader.read_int32()
        elif tag == 0x12:
            meta.error_text = reader.read_bytes()
        else:
            reader.skip(tag)


def _decode_stream_settings(meta: Meta, reader: _Reader) -> None:
    if meta.extra_stream_ids is None:
        meta.extra_stream_ids = []
    while reader.position < reader.end:
        tag = reader.read_tag()
        if tag == 0x08:
            meta.stream_id = reader.read_int64()
        elif tag == 0x10:
            meta.need_feedback = reader.read_bool()
        elif tag == 0x18:
            meta.writable = reader.read_bool()
        elif tag == 0x20:
            meta.extra_stream_ids.append(reader.read_int64())
        elif tag == 0x22:
            packed = reader.read_message()
            while packed.position < packed.end:
                meta.extra_stream_ids.append(packed.read_int64())
        else:
            reader.skip(tag)


def _decode_user_field(meta: Meta, reader: _Reader) -> None:
    key = value = b""
    while reader.position < reader.end:
        tag = reader.read_tag()
        if tag == 0x0A:
            key = reader.read_bytes()
        elif tag == 0x12:
            value = reader.read_bytes()
        else:
            reader.skip(tag)
    if meta.user_fields is None:
        meta.user_fields = {}
    name = key.decode("utf-8", "surrogateescape")
    meta.user_fields[name] = value.decode("utf-8", "surrogateescape")


def _stream_settings_of(meta: Meta) -> StreamSettings:
    if meta.stream_id is None:
        raise ProtocolError("stream_settings has no stream_id")
    extra = tuple(meta.extra_stream_ids or ())
    return StreamSettings(meta.stream_id, meta.need_feedback, meta.writable, extra)


def _signed_64(value: int) -> int:
    return (value ^ _SIGN_64) - _SIGN_64


def _signed_32(value: int) -> int:
    return ((value & _MASK_32) ^ _SIGN_32) - _SIGN_32
