"""Messages to bytes and back, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError, InternalServerError, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body import (
    parse_request,
    parse_response,
    serialize_request,
    serialize_response,
)
from tests.protos import conformance_pb2 as pb

REQUEST = pb.EchoRequest(message="hello", sleep_ms=7)
RESPONSE = pb.EchoResponse(message="hello", log_id=7)


def test_request_comes_back() -> None:
    body = serialize_request(REQUEST, pb.EchoRequest)
    assert parse_request(RpcRequest(1, "s", "m", body), pb.EchoRequest) == REQUEST


def test_response_comes_back() -> None:
    body = serialize_response(RESPONSE, pb.EchoResponse)
    assert parse_response(RpcResponse(1, body=body), pb.EchoResponse) == RESPONSE


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_any_bytes_like_body_parses(view: Any) -> None:
    request = RpcRequest(1, "s", "m", view(REQUEST.SerializeToString()))
    assert parse_request(request, pb.EchoRequest) == REQUEST


@pytest.mark.parametrize(
    ("request_", "name"),
    [(RESPONSE, "conformance.EchoResponse"), (b"hello", "bytes"), (None, "NoneType")],
)
def test_other_type_of_request(request_: Any, name: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        serialize_request(request_, pb.EchoRequest)
    assert caught.value.text == f"request must be a conformance.EchoRequest, not {name}"
    assert caught.value.phase is Phase.QUEUED


def test_request_that_misses_a_field() -> None:
    with pytest.raises(BadRequestError, match="Missing required fields in request: message"):
        serialize_request(pb.EchoRequest(sleep_ms=1), pb.EchoRequest)


@pytest.mark.parametrize("response", [REQUEST, None, "hello"])
def test_other_type_of_response(response: object) -> None:
    with pytest.raises(InternalServerError, match=r"not a conformance\.EchoResponse"):
        serialize_response(response, pb.EchoResponse)


def test_response_that_misses_a_field() -> None:
    with pytest.raises(BadResponseError, match="Missing required fields in response: message"):
        serialize_response(pb.EchoResponse(log_id=1), pb.EchoResponse)


@pytest.mark.parametrize(
    "fields",
    [
        {"body": b"\xff"},
        {"body": b""},
        {"compress_type": 1},
        {"content_type": 1},
        {"checksum_type": 1},
    ],
    ids=str,
)
def test_what_does_not_parse(fields: dict[str, Any]) -> None:
    values = {"body": REQUEST.SerializeToString()} | fields
    with pytest.raises(BadRequestError, match="Fail to parse request=conformance"):
        parse_request(RpcRequest(1, "s", "m", **values), pb.EchoRequest)
    with pytest.raises(BadResponseError, match="Fail to parse response=conformance"):
        parse_response(RpcResponse(1, **values), pb.EchoResponse)


def test_text_of_what_does_not_parse_is_that_of_cpp() -> None:
    request = RpcRequest(1, "s", "m", b"\xff" * 3, IOBuf(b"1234"), compress_type=2)
    with pytest.raises(BadRequestError) as caught:
        parse_request(request, pb.EchoRequest)
    assert caught.value.text == (
        "Fail to parse request=conformance.EchoRequest, ContentType=pb, CompressType=gzip, "
        "ChecksumType=none, request_size=7"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compress_type", "CompressType=unknown"),
        ("content_type", "ContentType=unknown"),
        ("checksum_type", "ChecksumType=unknown"),
    ],
)
def test_number_that_nobody_knows(name: str, text: str) -> None:
    request = RpcRequest(1, "s", "m", b"", **{name: 99})  # type: ignore[arg-type]
    with pytest.raises(BadRequestError, match=text):
        parse_request(request, pb.EchoRequest)


def test_absent_types_mean_the_plain_ones() -> None:
    response = RpcResponse(
        1,
        body=RESPONSE.SerializeToString(),
        compress_type=None,
        content_type=None,
        checksum_type=None,
    )
    assert parse_response(response, pb.EchoResponse) == RESPONSE
