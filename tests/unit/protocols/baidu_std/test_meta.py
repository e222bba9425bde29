from __future__ import annotations

import pytest

from pybrpc.errors import ProtocolError
from pybrpc.protocols.baidu_std.meta import (
    decode_meta,
    encode_request_meta,
    encode_response_meta,
    request_of,
    response_of,
)
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings

NAMES = b"\x0a\x06\x0a\x01S\x12\x01M"
"""A request meta of service "S" and method "M", all else absent."""

FULL_REQUEST = RpcRequest(
    correlation_id=-(2**63),
    service="S",
    method="M",
    log_id=2**63 - 1,
    request_id="id",
    timeout_ms=0,
    trace_id=1,
    span_id=2,
    parent_span_id=0,
    user_fields={"a": "", "": "b"},
    credential=b"",
    compress_type=3,
    content_type=None,
    checksum_type=1,
    checksum_value=b"\x00\xff",
    checksum_with_attachment=False,
    stream_settings=StreamSettings(7, False, None, (8, 9)),
)

FULL_RESPONSE = RpcResponse(
    correlation_id=1,
    error_code=-1,
    error_text="nö",
    user_fields={"k": "v"},
    compress_type=None,
    checksum_with_attachment=True,
    stream_settings=StreamSettings(0),
)


def test_every_request_field_survives() -> None:
    data = encode_request_meta(FULL_REQUEST, 0)
    assert request_of(decode_meta(data), b"", None) == FULL_REQUEST


def test_every_response_field_survives() -> None:
    data = encode_response_meta(FULL_RESPONSE, 0)
    assert response_of(decode_meta(data), b"", None) == FULL_RESPONSE


@pytest.mark.parametrize("size", [1, 127, 128, 2**31 - 1])
def test_attachment_size_is_there_if_not_zero(size: int) -> None:
    assert decode_meta(encode_response_meta(FULL_RESPONSE, size)).attachment_size == size


def test_attachment_size_zero_is_absent() -> None:
    assert not decode_meta(encode_response_meta(FULL_RESPONSE, 0)).HasField("attachment_size")


def test_absent_fields_read_as_none() -> None:
    assert request_of(decode_meta(NAMES), b"", None) == RpcRequest(
        0, "S", "M", compress_type=None, content_type=None, checksum_type=None, checksum_value=None
    )


def test_absent_error_code_is_success() -> None:
    response = response_of(decode_meta(b"\x12\x00"), b"", None)
    assert (response.error_code, response.error_text) == (0, "")


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(b"\x32\x04\x08\x01\x10\x02", id="chunk_info"),
        pytest.param(b"\xa0\x06\x01", id="varint 100"),
        pytest.param(b"\xa5\x06abcd", id="fixed32 100"),
        pytest.param(b"\xa1\x06abcdefgh", id="fixed64 100"),
        pytest.param(b"\xa2\x06\x03xyz", id="bytes 100"),
        pytest.param(b"\x1a\x01x", id="compress_type of another wire type"),
    ],
)
def test_unknown_fields_are_ignored(unknown: bytes) -> None:
    assert request_of(decode_meta(NAMES + unknown), b"", None) == request_of(
        decode_meta(NAMES), b"", None
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "no RpcMeta"),
        (NAMES[:-1], "no RpcMeta"),
        (NAMES + b"\x20", "no RpcMeta"),
        (NAMES + b"\x00", "no RpcMeta"),
    ],
)
def test_senseless_meta_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decode_meta(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a\x00", "service_name"),
        (b"\x0a\x03\x0a\x01S", "method_name"),
        (b"\x0a\x03\x12\x01M", "service_name"),
        (NAMES + b"\x42\x02\x10\x01", "stream_id"),
    ],
)
def test_missing_required_field_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        request_of(decode_meta(data), b"", None)


def test_empty_names_are_names() -> None:
    request = request_of(decode_meta(b"\x0a\x04\x0a\x00\x12\x00"), b"", None)
    assert (request.service, request.method) == ("", "")


def test_text_that_is_no_utf8_is_replaced() -> None:
    meta = RpcMeta(response={"error_text": b"\xb4\xed"})
    assert response_of(meta, b"", None).error_text == "\ufffd\ufffd"


def test_user_field_that_is_no_utf8_survives() -> None:
    meta = RpcMeta(response={}, user_fields=[{"key": b"k", "value": b"\xb4\xed"}])
    response = response_of(meta, b"", None)
    again = decode_meta(encode_response_meta(response, 0))
    assert [(f.key, f.value) for f in again.user_fields] == [(b"k", b"\xb4\xed")]


def test_last_of_equal_user_fields_counts() -> None:
    fields = [{"key": b"k", "value": b"1"}, {"key": b"k", "value": b"2"}]
    meta = RpcMeta(response={}, user_fields=fields)
    assert response_of(meta, b"", None).user_fields == {"k": "2"}


def test_user_fields_are_written_as_a_protobuf_map() -> None:
    data = encode_response_meta(RpcResponse(0, user_fields={"k": "v"}), 0)
    assert b"\x4a\x06\x0a\x01k\x12\x01v" in data


def test_error_text_with_lone_surrogates_can_be_sent() -> None:
    data = encode_response_meta(RpcResponse(0, error_text="no \udc80"), 0)
    assert response_of(decode_meta(data), b"", None).error_text == "no ?"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (
            "",
            "1 request, 2 response, 3 compress_type, 4 correlation_id, 5 attachment_size, "
            "7 authentication_data, 8 stream_settings, 9 user_fields, 10 content_type, "
            "11 checksum_type, 12 checksum_value, 13 checksum_with_attachment",
        ),
        (
            "request",
            "1 service_name, 2 method_name, 3 log_id, 4 trace_id, 5 span_id, 6 parent_span_id, "
            "7 request_id, 8 timeout_ms",
        ),
        ("response", "1 error_code, 2 error_text"),
        ("stream_settings", "1 stream_id, 2 need_feedback, 3 writable, 4 extra_stream_ids"),
        ("user_fields", "1 key, 2 value"),
    ],
)
def test_field_numbers_are_those_of_brpc(path: str, fields: str) -> None:
    message = RpcMeta.DESCRIPTOR
    if path:
        message = message.fields_by_name[path].message_type
    assert ", ".join(f"{field.number} {field.name}" for field in message.fields) == fields
