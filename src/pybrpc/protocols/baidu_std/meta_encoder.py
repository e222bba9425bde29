"""Encodes an `RpcRequest` or an `RpcResponse` as the meta of a frame, an RpcMeta (see `schema`).

The bytes are those that C++ bRPC writes: fields in the order of their numbers, and nothing for
fields that are `None`. It is done by hand, because protobuf's own class takes longer when this
module is compiled. The tests compare both for all kinds of values: what protobuf refuses is refused
here with the same kind of error.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index

from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings

_MASK_64 = 0xFFFFFFFFFFFFFFFF
_HIGHEST_64 = 0x7FFFFFFFFFFFFFFF
_LOWEST_64 = -_HIGHEST_64 - 1  # C has no literal for it
_LOWEST_32, _HIGHEST_32 = -0x80000000, 0x7FFFFFFF


def encode_request_meta(request: RpcRequest, attachment_size: int) -> bytes:
    """The meta of a request. ValueError, TypeError or AttributeError if a value does not fit its
    field."""
    out = bytearray()
    start = _begin_message(out, 0x0A)
    _put_text(out, 0x0A, request.service)
    _put_text(out, 0x12, request.method)
    if request.log_id is not None:
        _put_int64(out, 0x18, request.log_id)
    if request.trace_id is not None:
        _put_int64(out, 0x20, request.trace_id)
    if request.span_id is not None:
        _put_int64(out, 0x28, request.span_id)
    if request.parent_span_id is not None:
        _put_int64(out, 0x30, request.parent_span_id)
    if request.request_id is not None:
        _put_lossy_text(out, 0x3A, request.request_id)
    if request.timeout_ms is not None:
        _put_int32(out, 0x40, request.timeout_ms)
    _end_message(out, start)
    if request.compress_type is not None:
        _put_int32(out, 0x18, request.compress_type)
    _put_int64(out, 0x20, request.correlation_id)
    if attachment_size:
        _put_int32(out, 0x28, attachment_size)
    if request.credential is not None:
        _put_bytes(out, 0x3A, request.credential)
    if request.stream_settings is not None:
        _put_stream_settings(out, request.stream_settings)
    if request.user_fields:
        _put_user_fields(out, request.user_fields)
    if request.content_type is not None:
        _put_int32(out, 0x50, request.content_type)
    if request.checksum_type is not None:
        _put_int32(out, 0x58, request.checksum_type)
    if request.checksum_value is not None:
        _put_bytes(out, 0x62, request.checksum_value)
    if request.checksum_with_attachment is not None:
        _put_bool(out, 0x68, request.checksum_with_attachment)
    return bytes(out)


def encode_response_meta(response: RpcResponse, attachment_size: int) -> bytes:
    """The meta of a response; errors as in `encode_request_meta`. `error_code` is always written,
    `error_text` only if it is not empty."""
    out = bytearray()
    start = _begin_message(out, 0x12)
    _put_int32(out, 0x08, response.error_code)
    if response.error_text:
        _put_lossy_text(out, 0x12, response.error_text)
    _end_message(out, start)
    if response.compress_type is not None:
        _put_int32(out, 0x18, response.compress_type)
    _put_int64(out, 0x20, response.correlation_id)
    if attachment_size:
        _put_int32(out, 0x28, attachment_size)
    if response.stream_settings is not None:
        _put_stream_settings(out, response.stream_settings)
    if response.user_fields:
        _put_user_fields(out, response.user_fields)
    if response.content_type is not None:
        _put_int32(out, 0x50, response.content_type)
    if response.checksum_type is not None:
        _put_int32(out, 0x58, response.checksum_type)
    if response.checksum_value is not None:
        _put_bytes(out, 0x62, response.checksum_value)
    if response.checksum_with_attachment is not None:
        _put_bool(out, 0x68, response.checksum_with_attachment)
    return bytes(out)


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_int64(out: bytearray, tag: int, value: int) -> None:
    number = _int64_of(value)
    out.append(tag)
    _put_varint(out, number & _MASK_64)


def _put_int32(out: bytearray, tag: int, value: int) -> None:
    number = _int64_of(value)
    if not _LOWEST_32 <= number <= _HIGHEST_32:
        raise _out_of_range(value)
    out.append(tag)
    _put_varint(out, number & _MASK_64)


def _put_bool(out: bytearray, tag: int, value: bool) -> None:
    is_set = value if type(value) is bool else _int64_of(value) != 0
    out.append(tag)
    out.append(is_set)


def _int64_of(value: int) -> int:
    """`value`, checked. Members of an IntEnum are accepted, a bool is not."""
    if type(value) is bool:
        raise TypeError("Expected an int, got a boolean.")
    exact = value if isinstance(value, int) else index(value)
    try:
        number = exact
    except OverflowError:  # in compiled code, where `number` is a C integer
        raise _out_of_range(exact) from None
    if not _LOWEST_64 <= number <= _HIGHEST_64:
        raise _out_of_range(exact)
    return number


def _out_of_range(value: int) -> ValueError:
    return ValueError(f"Value out of range: {value}")


def _put_bytes(out: bytearray, tag: int, value: bytes) -> None:
    if type(value) is bytes:
        _put_raw(out, tag, value)
    elif isinstance(value, bytes):
        _put_raw(out, tag, bytes(value))
    else:
        raise TypeError(f"expected bytes, {type(value).__name__} found")


def _put_raw(out: bytearray, tag: int, raw: bytes) -> None:
    out.append(tag)
    _put_varint(out, len(raw))
    out += raw


def _put_text(out: bytearray, tag: int, text: str) -> None:
    """Text that must have a UTF-8 encoding; UnicodeEncodeError, a ValueError, if it has none."""
    _put_raw(out, tag, _exact(text).encode())


def _put_lossy_text(out: bytearray, tag: int, text: str) -> None:
    """Text in which lone surrogates, which UTF-8 can't express, become question marks."""
    _put_raw(out, tag, _exact(text).encode("utf-8", "replace"))


def _put_escaped_text(out: bytearray, tag: int, text: str) -> None:
    """Text in which surrogate escapes become the bytes that they stand for."""
    _put_raw(out, tag, _exact(text).encode("utf-8", "surrogateescape"))


def _exact(text: str) -> str:
    """`text` as a `str` of exactly this type, whose methods are fast in compiled code."""
    if type(text) is str:
        return text
    if isinstance(text, str):
        return str.__str__(text)
    raise AttributeError(f"'{type(text).__name__}' object has no attribute 'encode'")


def _begin_message(out: bytearray, tag: int) -> int:
    """Put the tag of a message and one byte for its length; return the index of its first field."""
    out.append(tag)
    out.append(0)
    return len(out)


def _end_message(out: bytearray, start: int) -> None:
    """Put the length of the message that begins at index `start`, and ends here, before it."""
    size = len(out) - start
    if size < 0x80:
        out[start - 1] = size
    else:
        length = bytearray()
        _put_varint(length, size)
        out[start - 1 : start] = length


def _put_stream_settings(out: bytearray, settings: StreamSettings) -> None:
    start = _begin_message(out, 0x42)
    _put_int64(out, 0x08, settings.stream_id)
    if settings.need_feedback is not None:
        _put_bool(out, 0x10, settings.need_feedback)
    if settings.writable is not None:
        _put_bool(out, 0x18, settings.writable)
    for stream_id in settings.extra_stream_ids:
        _put_int64(out, 0x20, stream_id)
    _end_message(out, start)


def _put_user_fields(out: bytearray, user_fields: Mapping[str, str]) -> None:
    for key, value in user_fields.items():
        if not isinstance(key, str):
            raise TypeError(f"the name of a user field must be a string, not {type(key).__name__}")
        if not isinstance(value, str):
            name = str.__repr__(key)
            raise TypeError(f"user field {name} must be a string, not {type(value).__name__}")
        start = _begin_message(out, 0x4A)
        _put_escaped_text(out, 0x0A, key)
        _put_escaped_text(out, 0x12, value)
        _end_message(out, start)
