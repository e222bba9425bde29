from __future__ import annotations

import pytest

from pybrpc.protocols.baidu_std.meta_decoder import decode_meta, request_of, response_of
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta, encode_response_meta
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings

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


def test_every_field_of_a_request_is_encoded_and_decoded() -> None:
    data = encode_request_meta(FULL_REQUEST, 0)
    assert request_of(decode_meta(data), b"", None) == FULL_REQUEST


def test_every_field_of_a_response_is_encoded_and_decoded() -> None:
    data = encode_response_meta(FULL_RESPONSE, 0)
    assert response_of(decode_meta(data), b"", None) == FULL_RESPONSE


@pytest.mark.parametrize("size", [1, 127, 128, 2**31 - 1])
def test_attachment_size_is_encoded_if_not_zero(size: int) -> None:
    assert decode_meta(encode_response_meta(FULL_RESPONSE, size)).attachment_size == size


def test_attachment_size_zero_is_not_encoded() -> None:
    meta = RpcMeta.FromString(encode_response_meta(FULL_RESPONSE, 0))
    assert not meta.HasField("attachment_size")


def test_user_fields_are_encoded_as_a_protobuf_map() -> None:
    data = encode_response_meta(RpcResponse(0, user_fields={"k": "v"}), 0)
    assert b"\x4a\x06\x0a\x01k\x12\x01v" in data


def test_surrogate_escapes_in_user_fields_are_encoded_as_their_bytes() -> None:
    data = encode_response_meta(RpcResponse(0, user_fields={"k": "\udcb4\udced"}), 0)
    assert [(f.key, f.value) for f in RpcMeta.FromString(data).user_fields] == [(b"k", b"\xb4\xed")]


def test_lone_surrogates_in_error_text_become_question_marks() -> None:
    data = encode_response_meta(RpcResponse(0, error_text="no \udc80"), 0)
    assert response_of(decode_meta(data), b"", None).error_text == "no ?"
