"""The decoder of the meta against protobuf: the same messages and errors for all bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybrpc.errors import ProtocolError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import meta_decoder
from pybrpc.protocols.message import RpcRequest, RpcResponse
from tests.oracles import protobuf_meta
from tests.property.strategies import encoded_fields, requests, responses, varint

Outcome = Any
ATTACHMENT = IOBuf(b"attached")
NAMES = b"\x0a\x01S\x12\x01M"


def outcome_of(codec: Any, data: bytes) -> Outcome:
    """Everything that the decoder of a meta can find out, or the text of its error."""
    try:
        meta = codec.decode_meta(data)
    except ProtocolError as error:
        return error.text
    is_request = protobuf_meta.is_request(meta) if codec is protobuf_meta else meta.is_request
    head = (is_request, meta.correlation_id, meta.attachment_size)
    try:
        message_of = codec.request_of if is_request else codec.response_of
        return (head, message_of(meta, b"body", ATTACHMENT))
    except ProtocolError as error:
        return (head, error.text)


def assert_decoded_alike(data: bytes) -> None:
    assert outcome_of(meta_decoder, data) == outcome_of(protobuf_meta, data)


@given(encoded_fields)
@example(b"\x0b\x0c")
@example(b"\x0a\x04\x1b\x08\x01\x1c")
@example(b"\x0b" * 101 + b"\x0c" * 101)
@example(b"\x0b" * 99 + b"\x0c" * 99)
@example(b"\x22" + varint(2**31))
@example(b"\x42\x03\x22\x01\x80")
@example(b"\x4a\x00\x4a\x00")
@example(b"\x20" + b"\xff" * 9 + b"\x7f")
@example(b"\x20" + b"\xff" * 10 + b"\x01")
@example(b"\x80\x80\x80\x80\x10\x00")
@example(b"\xa0\x80\x80\x80\x00\x01")
@example(b"\xa0\x80\x80\x80\x80\x00\x01")
@example(b"\x0a" + varint(0, padding=4))
@example(b"\x0a" + varint(0, padding=5))
def test_any_fields_decode_as_protobuf_decodes_them(data: bytes) -> None:
    assert_decoded_alike(data)


@given(st.binary(max_size=40))
def test_any_bytes_decode_as_protobuf_decodes_them(data: bytes) -> None:
    assert_decoded_alike(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x0a\x09\x0a\x01\xff\x12\x01\xff\x3a\x01\xff", id="names not UTF-8"),
        pytest.param(b"\x12\x03\x12\x01\xff", id="error_text not UTF-8"),
        pytest.param(b"\x4a\x06\x0a\x01\xff\x12\x01\xfe", id="user field not UTF-8"),
        pytest.param(b"\x0a\x03\x0a\x01S", id="no method"),
        pytest.param(b"\x0a\x03\x12\x01M", id="no service"),
        pytest.param(b"\x42\x00", id="no stream_id"),
        pytest.param(b"\x42\x06\x08\x01\x22\x02\x05\x06", id="packed stream ids"),
        pytest.param(b"\x42\x04\x08\x01\x28\x01", id="unknown field of stream settings"),
        pytest.param(b"\x12\x02\x18\x01", id="unknown field of a response"),
        pytest.param(b"\x4a\x02\x18\x01", id="unknown field of a user field"),
        pytest.param(b"\x0a\x08\x48\x01" + NAMES, id="unknown field of a request"),
    ],
)
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_rare_fields_decode_as_protobuf_decodes_them(data: bytes, kind: type) -> None:
    assert_decoded_alike(kind(data))


START, END = b"\x0b", b"\x0c"
"""The tags of a group with the number 1, which is unknown: field 1 is no group."""


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(START + END, id="empty"),
        pytest.param(START + b"\x20\x05" + END, id="fields in it are skipped"),
        pytest.param(
            START + b"\x12\x02hi" + b"\x31" + bytes(8) + b"\x35" + bytes(4) + END, id="all"
        ),
        pytest.param(START + b"\x13\x14" + END, id="group in a group"),
        pytest.param(START + b"\x0a\x01\x0c" + END, id="bytes with an end tag"),
        pytest.param(START, id="no end"),
        pytest.param(END, id="no start"),
        pytest.param(START + b"\x14", id="end of another group"),
        pytest.param(START + b"\x13" + END + b"\x14", id="ends in the wrong order"),
        pytest.param(START + b"\x0a\x02" + END, id="cut field"),
        pytest.param(START + b"\x00" + END, id="field 0 without a value"),
        pytest.param(START + b"\x00\x05\x03\x04" + END, id="field 0"),
        pytest.param(START + b"\x80\x80\x80\x80\x00\x05" + END, id="field 0 in 5 bytes"),
        pytest.param(START + b"\x80\x80\x80\x80\x80\x00\x05" + END, id="field 0 in 6 bytes"),
        pytest.param(START + b"\xf8\xff\xff\xff\x1f\x05" + END, id="field over 2**29"),
        pytest.param(b"\x03\x04", id="number 0"),
        pytest.param(START + b"\x0f" + END, id="wire type 7"),
        pytest.param(START + b"\x20" + END, id="its end is a varint's"),
        *(pytest.param(START * n + END * n, id=f"{n} deep") for n in (98, 99, 100, 101)),
        pytest.param((START + END) * 200, id="200 in a row"),
    ],
)
def test_groups_are_skipped_as_protobuf_skips_them(group: bytes) -> None:
    assert_decoded_alike(group + b"\x20\x07")
    for tag, fields in ((b"\x0a", NAMES), (b"\x12", b""), (b"\x42", b"\x08\x01"), (b"\x4a", b"")):
        assert_decoded_alike(tag + varint(len(fields + group)) + fields + group)


@given(
    requests.map(lambda request: protobuf_meta.encode_request_meta(request, 5))
    | responses.map(lambda response: protobuf_meta.encode_response_meta(response, 5)),
    st.data(),
)
def test_cut_and_damaged_metas_decode_as_protobuf_decodes_them(
    data: bytes, draw: st.DataObject
) -> None:
    for end in range(len(data) + 1):
        assert_decoded_alike(data[:end])
    damaged = bytearray(data)
    damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert_decoded_alike(bytes(damaged))


@pytest.mark.parametrize(
    "message",
    [
        RpcRequest(-(2**63), "S", "M", log_id=-(2**63), timeout_ms=-(2**31)),
        RpcRequest(2**63 - 1, "S", "M", span_id=2**63 - 1, compress_type=2**31 - 1),
        RpcRequest(1, "S", "M", request_id="\ufffd", user_fields={"\udc80": "\udcff"}),
        RpcResponse(1, -(2**31), "\ufffd"),
    ],
)
def test_extreme_values_are_decoded(message: RpcRequest | RpcResponse) -> None:
    asks = isinstance(message, RpcRequest)
    encode: Any = protobuf_meta.encode_request_meta if asks else protobuf_meta.encode_response_meta
    decode: Any = meta_decoder.request_of if asks else meta_decoder.response_of
    assert decode(meta_decoder.decode_meta(encode(message, 2**31 - 1)), b"", None) == message
