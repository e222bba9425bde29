"""The encoder of the meta against protobuf: the same bytes, and the same values are refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.protocols.baidu_std import meta_encoder
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from tests.oracles import protobuf_meta
from tests.property.strategies import int32, int64, requests, responses

Outcome = Any


@given(requests, st.integers(0, 2**31 - 1))
def test_requests_are_encoded_as_by_protobuf(request: RpcRequest, size: int) -> None:
    expected = protobuf_meta.encode_request_meta(request, size)
    assert meta_encoder.encode_request_meta(request, size) == expected


@given(responses, st.integers(0, 2**31 - 1))
def test_responses_are_encoded_as_by_protobuf(response: RpcResponse, size: int) -> None:
    expected = protobuf_meta.encode_response_meta(response, size)
    assert meta_encoder.encode_response_meta(response, size) == expected


@pytest.mark.parametrize(
    "message",
    [
        RpcRequest(-(2**63), "S", "M", log_id=-(2**63), timeout_ms=-(2**31)),
        RpcRequest(2**63 - 1, "S", "M", span_id=2**63 - 1, compress_type=2**31 - 1),
        RpcRequest(1, "S", "M", request_id="\ud800", user_fields={"\udc80": "\udcff"}),
        RpcResponse(1, -(2**31), "\ud800"),
    ],
)
def test_extreme_values_are_encoded(message: RpcRequest | RpcResponse) -> None:
    encode = f"encode_{'request' if isinstance(message, RpcRequest) else 'response'}_meta"
    expected = getattr(protobuf_meta, encode)(message, 2**31 - 1)
    assert getattr(meta_encoder, encode)(message, 2**31 - 1) == expected


@pytest.mark.parametrize("size", [*range(110, 132), 16_383, 20_000])
def test_long_fields_are_encoded_as_by_protobuf(size: int) -> None:
    """The length of a message has one byte up to 127, and is known only after its fields."""
    settings = StreamSettings(1, extra_stream_ids=(1,) * (size // 2))
    request = RpcRequest(1, "S" * size, "M", b"", user_fields={"k": "v" * size, "l": ""})
    request.stream_settings = settings
    expected = protobuf_meta.encode_request_meta(request, 0)
    assert meta_encoder.encode_request_meta(request, 0) == expected
    response = RpcResponse(1, 2, "e" * size, user_fields={"k" * size: "v", "l": ""})
    response.stream_settings = settings
    expected = protobuf_meta.encode_response_meta(response, 0)
    assert meta_encoder.encode_response_meta(response, 0) == expected


class Number(int):
    """An int, but not of exactly this type."""


class Bytes(bytes):
    """Bytes, but not of exactly this type."""


class Text(str):
    """Text, but not of exactly this type."""


class Index:
    def __index__(self) -> int:
        return 7


ODD_VALUES: list[Any] = [
    *(0, 1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**70, 1.0, True, Number(3), Index(), None),
    *("x", Text("x"), b"x", Bytes(b"x"), "\udcff", b"", [], (), bytearray(b"y"), memoryview(b"z")),
    CompressType.GZIP,
]
"""Values of all kinds, most of which fit one field and not the others."""

NOT_IN_META = ("body", "attachment")
REQUEST_FIELDS, RESPONSE_FIELDS = (
    [field.name for field in dataclasses.fields(kind) if field.name not in NOT_IN_META]
    for kind in (RpcRequest, RpcResponse)
)


def outcome_of(encode: Callable[[Any, int], bytes], message: Any, size: int = 0) -> Outcome:
    """The encoded bytes, or the kind and the text of the error."""
    try:
        return encode(message, size)
    except OverflowError:
        # Of an int of more than 64 bits in a bool. BaiduStd expects no such error.
        return ValueError, "out of range"
    except Exception as error:
        text = re.sub(r"^Field pybrpc\S+: ", "", str(error))
        return type(error), "out of range" if text.startswith("Value out of range") else text


@pytest.mark.parametrize("field", REQUEST_FIELDS)
def test_odd_value_in_a_request_is_encoded_or_refused_as_by_protobuf(field: str) -> None:
    for value in ODD_VALUES:
        if field in ("stream_settings", "user_fields") and value:
            continue
        request = RpcRequest(**{"correlation_id": 1, "service": "S", "method": "M", field: value})
        assert outcome_of(meta_encoder.encode_request_meta, request) == outcome_of(
            protobuf_meta.encode_request_meta, request
        ), value


@pytest.mark.parametrize("field", RESPONSE_FIELDS)
def test_odd_value_in_a_response_is_encoded_or_refused_as_by_protobuf(field: str) -> None:
    for value in ODD_VALUES:
        if field in ("stream_settings", "user_fields") and value:
            continue
        response = RpcResponse(**{"correlation_id": 1, field: value})
        assert outcome_of(meta_encoder.encode_response_meta, response) == outcome_of(
            protobuf_meta.encode_response_meta, response
        ), value


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**70])
def test_number_out_of_range_is_named_in_the_error(value: int) -> None:
    with pytest.raises(ValueError, match=rf"Value out of range: {value}$"):
        meta_encoder.encode_response_meta(RpcResponse(1, value), 0)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.sampled_from(ODD_VALUES)
            for name in REQUEST_FIELDS
            if name not in ("stream_settings", "user_fields")
        },
    ),
    st.integers(-5, 5) | int32 | int64,
)
def test_many_odd_values_are_encoded_or_refused_as_by_protobuf(
    values: dict[str, Any], size: int
) -> None:
    """Each codec may find another one of several wrong values first."""
    request = RpcRequest(**{"correlation_id": 1, "service": "S", "method": "M", **values})
    ours = outcome_of(meta_encoder.encode_request_meta, request, size)
    theirs = outcome_of(protobuf_meta.encode_request_meta, request, size)
    assert ours == theirs or (not isinstance(ours, bytes) and not isinstance(theirs, bytes))


@pytest.mark.parametrize(
    "settings",
    [
        StreamSettings(2**63),
        StreamSettings(1, need_feedback=2),  # type: ignore[arg-type]
        StreamSettings(1, writable=1.0),  # type: ignore[arg-type]
        StreamSettings(1, extra_stream_ids=("x",)),  # type: ignore[arg-type]
        StreamSettings(1, extra_stream_ids=[2, 3]),  # type: ignore[arg-type]
        StreamSettings(None),  # type: ignore[arg-type]
    ],
)
def test_odd_stream_settings_are_encoded_or_refused_as_by_protobuf(
    settings: StreamSettings,
) -> None:
    response = RpcResponse(1, stream_settings=settings)
    assert outcome_of(meta_encoder.encode_response_meta, response) == outcome_of(
        protobuf_meta.encode_response_meta, response
    )


@pytest.mark.parametrize(
    "user_fields",
    [{"a": "\udc80\ud800"}, {Text("a"): "b"}, ["a"], 5],
)
def test_odd_user_fields_are_encoded_or_refused_as_by_protobuf(user_fields: Any) -> None:
    response = RpcResponse(1, user_fields=user_fields)
    assert outcome_of(meta_encoder.encode_response_meta, response) == outcome_of(
        protobuf_meta.encode_response_meta, response
    )


@pytest.mark.parametrize("user_fields", [{"a": 1}, {1: "a"}, {"a": b"b"}])
def test_user_fields_of_another_type_are_refused_by_both(user_fields: Any) -> None:
    response = RpcResponse(1, user_fields=user_fields)
    for encode in (meta_encoder.encode_response_meta, protobuf_meta.encode_response_meta):
        with pytest.raises((TypeError, AttributeError)):
            encode(response, 0)


def test_members_of_an_enum_are_encoded_as_their_numbers() -> None:
    response = RpcResponse(1, compress_type=CompressType.NONE, checksum_type=ChecksumType.CRC32C)
    expected = protobuf_meta.encode_response_meta(response, 0)
    assert meta_encoder.encode_response_meta(response, 0) == expected
