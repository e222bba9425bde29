"""The meta codec of compiled code against protobuf's own: the same for all messages and bytes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybrpc.errors import ProtocolError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import meta, meta_codec
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from tests.property.strategies import int32, int64, requests, responses, sound_fields, varint

Outcome = Any
ATTACHMENT = IOBuf(b"attached")


def outcome_of(codec: Any, data: bytes) -> Outcome:
    """All that a reader of the meta can find out, or the error."""
    try:
        decoded = codec.decode_meta(data)
    except ProtocolError as error:
        return error.text
    is_request = codec.is_request(decoded)
    head = (is_request, decoded.correlation_id, decoded.attachment_size)
    try:
        message_of = codec.request_of if is_request else codec.response_of
        return (head, message_of(decoded, b"body", ATTACHMENT))
    except ProtocolError as error:
        return (head, error.text)


def assert_decoded_alike(data: bytes) -> None:
    assert outcome_of(meta_codec, data) == outcome_of(meta, data)


@given(sound_fields)
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


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x09\x0a\x01\xff\x12\x01\xff\x3a\x01\xff",  # names and an id that are no UTF-8
        b"\x12\x03\x12\x01\xff",  # nor is the text of an error
        b"\x4a\x06\x0a\x01\xff\x12\x01\xfe",  # nor is a user field
        b"\x0a\x03\x0a\x01S",  # a request without a method
        b"\x0a\x03\x12\x01M",  # or without a service
        b"\x42\x00",  # settings of a stream that has no id
        b"\x42\x06\x08\x01\x22\x02\x05\x06",  # and some with more ids, in one piece
        b"\x42\x04\x08\x01\x28\x01",  # what nobody knows, of a stream
        b"\x12\x02\x18\x01",  # of a response
        b"\x4a\x02\x18\x01",  # of a user field
        b"\x0a\x08\x48\x01\x0a\x01S\x12\x01M",  # of a request
    ],
)
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_rare_fields_decode_as_protobuf_decodes_them(data: bytes, kind: type) -> None:
    assert_decoded_alike(kind(data))


@given(st.binary(max_size=40))
def test_any_bytes_decode_as_protobuf_decodes_them(data: bytes) -> None:
    assert_decoded_alike(data)


@contextlib.contextmanager
def without_protobuf() -> Iterator[None]:
    """What is encoded in here does not go the slow way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(meta, "encode_request_meta")
        patch.delattr(meta, "encode_response_meta")
        yield


@given(requests, st.integers(0, 2**31 - 1))
def test_requests_encode_and_decode_as_with_protobuf(request: RpcRequest, size: int) -> None:
    expected = meta.encode_request_meta(request, size)
    with without_protobuf():
        assert meta_codec.encode_request_meta(request, size) == expected
    assert_decoded_alike(expected)


@given(responses, st.integers(0, 2**31 - 1))
def test_responses_encode_and_decode_as_with_protobuf(response: RpcResponse, size: int) -> None:
    expected = meta.encode_response_meta(response, size)
    with without_protobuf():
        assert meta_codec.encode_response_meta(response, size) == expected
    assert_decoded_alike(expected)


@pytest.mark.parametrize(
    "message",
    [
        RpcRequest(-(2**63), "S", "M", log_id=-(2**63), timeout_ms=-(2**31)),
        RpcRequest(2**63 - 1, "S", "M", span_id=2**63 - 1, compress_type=2**31 - 1),
        RpcRequest(1, "S", "M", request_id="\ud800", user_fields={"\udc80": "\udcff"}),
        RpcResponse(1, -(2**31), "\ud800"),
    ],
)
def test_extremes_are_encoded_here(message: RpcRequest | RpcResponse) -> None:
    kind = "request" if isinstance(message, RpcRequest) else "response"
    encode = f"encode_{kind}_meta"
    expected = getattr(meta, encode)(message, 2**31 - 1)
    with without_protobuf():
        assert getattr(meta_codec, encode)(message, 2**31 - 1) == expected


@given(requests.map(lambda request: meta.encode_request_meta(request, 5)), st.data())
def test_every_cut_and_a_damaged_byte_decode_as_with_protobuf(
    data: bytes, draw: st.DataObject
) -> None:
    for end in range(len(data)):
        assert_decoded_alike(data[:end])
    damaged = bytearray(data)
    damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert_decoded_alike(bytes(damaged))


class Number(int):
    """An int that is not exactly one."""


class Index:
    def __index__(self) -> int:
        return 7


odd_values: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 1.0, True, Number(3), Index(), None),
        *("x", b"x", "\udcff", b"", [], (), bytearray(b"y"), memoryview(b"z")),
    ]
)

fields_of_requests = st.fixed_dictionaries(
    {},
    optional={
        field.name: odd_values
        for field in dataclasses.fields(RpcRequest)
        if field.name not in ("body", "attachment", "stream_settings", "user_fields")
    },
)


def encoded(encode: Callable[[Any, int], bytes], message: Any, size: int) -> Outcome:
    try:
        return encode(message, size)
    except Exception as error:
        return type(error), str(error)


@given(fields_of_requests, st.integers(-5, 5) | int32 | int64)
def test_values_that_do_not_fit_are_refused_as_protobuf_refuses_them(
    values: dict[str, Any], size: int
) -> None:
    request = RpcRequest(**{"correlation_id": 1, "service": "S", "method": "M", **values})
    assert encoded(meta_codec.encode_request_meta, request, size) == encoded(
        meta.encode_request_meta, request, size
    )


def test_odd_values_that_protobuf_takes_go_its_way_with_all_the_rest() -> None:
    odd: Any = Index()
    request, response = RpcRequest(1, "S", "M", log_id=odd), RpcResponse(1, odd)
    data = meta_codec.encode_request_meta(request, 5)
    assert data == meta.encode_request_meta(request, 5)
    assert meta_codec.decode_meta(data).attachment_size == 5
    data = meta_codec.encode_response_meta(response, 6)
    assert data == meta.encode_response_meta(response, 6)
    assert meta_codec.decode_meta(data).attachment_size == 6


@pytest.mark.parametrize(
    "settings",
    [
        StreamSettings(2**63),
        StreamSettings(1, need_feedback=2),  # type: ignore[arg-type]
        StreamSettings(1, extra_stream_ids=("x",)),  # type: ignore[arg-type]
        StreamSettings(None),  # type: ignore[arg-type]
    ],
)
def test_odd_stream_settings_are_refused_as_protobuf_refuses_them(
    settings: StreamSettings,
) -> None:
    response = RpcResponse(1, stream_settings=settings)
    assert encoded(meta_codec.encode_response_meta, response, 0) == encoded(
        meta.encode_response_meta, response, 0
    )


@pytest.mark.parametrize("user_fields", [{"a": 1}, {1: "a"}, {"a": b"b"}, {"a": "\udc80\ud800"}])
def test_odd_user_fields_are_refused_as_protobuf_refuses_them(user_fields: Any) -> None:
    response = RpcResponse(1, user_fields=user_fields)
    assert encoded(meta_codec.encode_response_meta, response, 0) == encoded(
        meta.encode_response_meta, response, 0
    )


def test_members_of_an_enum_are_encoded_here() -> None:
    """A Controller has such by default: what it says must not go the slow way."""
    response = RpcResponse(1, compress_type=CompressType.NONE, checksum_type=ChecksumType.CRC32C)
    expected = meta.encode_response_meta(response, 0)
    with without_protobuf():
        assert meta_codec.encode_response_meta(response, 0) == expected
