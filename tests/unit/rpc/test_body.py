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
from pybrpc.rpc.body_encoding import EncodedBody
from pybrpc.rpc.checksum import ChecksumType, compute_checksum
from pybrpc.rpc.compress import CompressType, compress
from pybrpc.rpc.controller import Controller
from tests.peers.echo import REQUEST_TYPE, RESPONSE_TYPE
from tests.protos import conformance_pb2 as pb

REQUEST = pb.EchoRequest(message="hello", sleep_ms=7)
RESPONSE = pb.EchoResponse(message="hello", log_id=7)
GZIP, LZ4 = CompressType.GZIP, CompressType.LZ4
SUM_OF_OTHERS = {"checksum_type": 1, "checksum_value": b"\xab\xcd\x01\x23"}


def test_request_survives_serializing_and_parsing() -> None:
    body = serialize_request(REQUEST, REQUEST_TYPE)
    assert parse_request(RpcRequest(1, "s", "m", body), REQUEST_TYPE) == REQUEST


def test_response_survives_serializing_and_parsing() -> None:
    body = serialize_response(RESPONSE, RESPONSE_TYPE)
    assert parse_response(RpcResponse(1, body=body), RESPONSE_TYPE) == RESPONSE


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_any_bytes_like_body_parses(view: Any) -> None:
    request = RpcRequest(1, "s", "m", view(REQUEST.SerializeToString()))
    assert parse_request(request, REQUEST_TYPE) == REQUEST


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (RESPONSE, "conformance.EchoResponse"),
        (b"hello", "bytes"),
        (None, "NoneType"),
        (pb.EchoRequest, "the class EchoRequest: make an object of it"),
    ],
)
def test_request_of_another_type_is_refused(request_: Any, name: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        serialize_request(request_, REQUEST_TYPE)
    assert caught.value.text == f"request must be a conformance.EchoRequest, not {name}"
    assert caught.value.phase is Phase.QUEUED


def test_request_without_a_required_field_is_refused() -> None:
    with pytest.raises(BadRequestError, match="Missing required fields in request: message"):
        serialize_request(pb.EchoRequest(sleep_ms=1), REQUEST_TYPE)


@pytest.mark.parametrize("response", [REQUEST, None, "hello"])
def test_response_of_another_type_is_refused(response: object) -> None:
    with pytest.raises(InternalServerError, match=r"not a conformance\.EchoResponse"):
        serialize_response(response, RESPONSE_TYPE)


def test_response_that_is_the_class_or_a_coroutine_is_named() -> None:
    with pytest.raises(InternalServerError) as caught:
        serialize_response(pb.EchoResponse, RESPONSE_TYPE)
    said = "the handler returned the class EchoResponse, not a conformance.EchoResponse"
    assert caught.value.text == said

    async def respond() -> pb.EchoResponse:
        return RESPONSE

    coroutine = respond()
    with pytest.raises(InternalServerError) as caught:
        serialize_response(coroutine, RESPONSE_TYPE)
    coroutine.close()
    assert caught.value.text.startswith("the handler returned a coroutine: make it an async def")


def test_response_without_a_required_field_is_refused() -> None:
    with pytest.raises(BadResponseError, match="Missing required fields in response: message"):
        serialize_response(pb.EchoResponse(log_id=1), RESPONSE_TYPE)


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
def test_bytes_that_do_not_parse_are_an_error(fields: dict[str, Any]) -> None:
    values = {"body": REQUEST.SerializeToString()} | fields
    with pytest.raises(BadRequestError, match="Fail to parse request=conformance"):
        parse_request(RpcRequest(1, "s", "m", **values), REQUEST_TYPE)
    with pytest.raises(BadResponseError, match="Fail to parse response=conformance"):
        parse_response(RpcResponse(1, **values), RESPONSE_TYPE)


def test_error_text_of_a_body_that_does_not_parse_is_that_of_cpp() -> None:
    request = RpcRequest(1, "s", "m", b"\xff" * 3, IOBuf(b"1234"))
    with pytest.raises(BadRequestError) as caught:
        parse_request(request, REQUEST_TYPE)
    assert caught.value.text == (
        "Fail to parse request=conformance.EchoRequest, ContentType=pb, CompressType=none, "
        "ChecksumType=none, request_size=7"
    )


@pytest.mark.parametrize(
    ("fields", "form", "reason"),
    [
        ({"compress_type": GZIP}, "gzip, ChecksumType=none", "the compressed body is damaged"),
        ({"compress_type": LZ4}, "unknown, ChecksumType=none", "compress_type=4 is not supported"),
        (SUM_OF_OTHERS, "none, ChecksumType=crc32c", "the checksum is 'abcd0123', but that of"),
        ({"checksum_type": 2}, "none, ChecksumType=unknown", "checksum_type=2 is not supported"),
    ],
)
def test_error_text_has_the_reason_after_the_text_of_cpp(
    fields: dict[str, Any], form: str, reason: str
) -> None:
    rest = f", ContentType=pb, CompressType={form}, request_size=7: {reason}"
    common = {"body": b"\xff" * 3, "attachment": IOBuf(b"1234")} | fields
    with pytest.raises(BadRequestError) as refused:
        parse_request(RpcRequest(1, "s", "m", **common), REQUEST_TYPE)
    start = "Fail to parse request=conformance.EchoRequest"
    assert refused.value.text.startswith(start + rest)
    with pytest.raises(BadResponseError) as caught:
        parse_response(RpcResponse(1, **common), RESPONSE_TYPE)
    start = "Fail to parse response=conformance.EchoResponse"
    assert caught.value.text.startswith(start + rest)


def test_body_that_becomes_larger_than_the_limit_is_refused() -> None:
    message = pb.EchoRequest(message="x" * 10_000)
    body = compress(message.SerializeToString(), GZIP)
    request = RpcRequest(1, "s", "m", body, compress_type=GZIP)
    assert parse_request(request, REQUEST_TYPE, 20_000) == message
    with pytest.raises(BadRequestError, match="larger than max_body_size=10000"):
        parse_request(request, REQUEST_TYPE, 10_000)
    response = RpcResponse(1, body=body, compress_type=GZIP)
    with pytest.raises(BadResponseError, match="larger than max_body_size=10000"):
        parse_response(response, RESPONSE_TYPE, 10_000)


def test_body_that_is_not_compressed_is_limited_by_the_protocol_alone() -> None:
    request = RpcRequest(1, "s", "m", REQUEST.SerializeToString())
    assert parse_request(request, REQUEST_TYPE, 1) == REQUEST


def test_checksum_is_of_the_compressed_body() -> None:
    controller = Controller()
    controller.request_compress_type = CompressType.GZIP
    controller.request_checksum_type = ChecksumType.CRC32C
    body = serialize_request(REQUEST, REQUEST_TYPE, controller)
    assert isinstance(body, EncodedBody)
    assert body.data == compress(REQUEST.SerializeToString(), GZIP)
    assert body.checksum_value == compute_checksum(ChecksumType.CRC32C, body.data)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("compress_type", LZ4, "CompressType=unknown, ChecksumType=none: compress_type=4"),
        ("compress_type", "gzip", "CompressType=unknown, ChecksumType=none: compress_type=gzip"),
        ("checksum_type", 7, "CompressType=none, ChecksumType=unknown: checksum_type=7"),
    ],
)
def test_unsupported_type_of_compression_or_checksum_is_refused(
    name: str, value: object, text: str
) -> None:
    controller = Controller()
    setattr(controller, f"_request_{name}", value)
    setattr(controller, f"_response_{name}", value)
    with pytest.raises(BadRequestError) as refused:
        serialize_request(REQUEST, REQUEST_TYPE, controller)
    start = "Fail to compress request=conformance.EchoRequest, ContentType=pb, "
    assert refused.value.text.startswith(start + text)
    assert refused.value.phase is Phase.QUEUED
    with pytest.raises(BadResponseError) as caught:
        serialize_response(RESPONSE, RESPONSE_TYPE, controller)
    start = "Fail to serialize response=conformance.EchoResponse, ContentType=pb, "
    assert caught.value.text.startswith(start + text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compress_type", "CompressType=unknown"),
        ("content_type", "ContentType=unknown"),
        ("checksum_type", "ChecksumType=unknown"),
    ],
)
def test_unknown_content_type_is_refused(name: str, text: str) -> None:
    request = RpcRequest(1, "s", "m", b"", **{name: 99})  # type: ignore[arg-type]
    with pytest.raises(BadRequestError, match=text):
        parse_request(request, REQUEST_TYPE)


def test_absent_types_mean_a_plain_body() -> None:
    response = RpcResponse(
        1,
        body=RESPONSE.SerializeToString(),
        compress_type=None,
        content_type=None,
        checksum_type=None,
    )
    assert parse_response(response, RESPONSE_TYPE) == RESPONSE
