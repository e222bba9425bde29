from __future__ import annotations

import pytest

from pybrpc.errors import ProtocolError
from pybrpc.protocols.baidu_std.meta_decoder import decode_meta, request_of, response_of
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.protocols.message import RpcRequest, RpcResponse

NAMES = b"\x0a\x06\x0a\x01S\x12\x01M"
"""The meta of a request with the service "S", the method "M" and no other field."""


def response_from(**fields: object) -> RpcResponse:
    return response_of(decode_meta(RpcMeta(**fields).SerializeToString()), b"", None)


def test_absent_optional_fields_are_none() -> None:
    assert request_of(decode_meta(NAMES), b"", None) == RpcRequest(
        0, "S", "M", compress_type=None, content_type=None, checksum_type=None, checksum_value=None
    )


def test_absent_error_code_means_success() -> None:
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
def test_unknown_fields_are_skipped(unknown: bytes) -> None:
    assert request_of(decode_meta(NAMES + unknown), b"", None) == request_of(
        decode_meta(NAMES), b"", None
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "not an RpcMeta"),
        (NAMES[:-1], "not an RpcMeta"),
        (NAMES + b"\x20", "not an RpcMeta"),
        (NAMES + b"\x00", "not an RpcMeta"),
    ],
)
def test_malformed_meta_is_refused(data: bytes, why: str) -> None:
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
def test_request_without_a_required_field_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        request_of(decode_meta(data), b"", None)


def test_empty_service_and_method_names_are_accepted() -> None:
    request = request_of(decode_meta(b"\x0a\x04\x0a\x00\x12\x00"), b"", None)
    assert (request.service, request.method) == ("", "")


def test_error_text_that_is_not_utf8_is_replaced() -> None:
    assert response_from(response={"error_text": b"\xb4\xed"}).error_text == "\ufffd\ufffd"


def test_user_field_that_is_not_utf8_becomes_surrogate_escapes() -> None:
    response = response_from(response={}, user_fields=[{"key": b"k", "value": b"\xb4\xed"}])
    assert response.user_fields == {"k": "\udcb4\udced"}


def test_last_of_equal_user_fields_is_kept() -> None:
    fields = [{"key": b"k", "value": b"1"}, {"key": b"k", "value": b"2"}]
    assert response_from(response={}, user_fields=fields).user_fields == {"k": "2"}
