"""Raw bodies: bytes go out and come in as they are; a checksum covers them all the same."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError, InternalServerError, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body_encoding import BodyEncoding, EncodedBody
from pybrpc.rpc.checksum import ChecksumType, compute_checksum
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.raw_body import (
    parse_raw_request,
    parse_raw_response,
    serialize_raw_request,
    serialize_raw_response,
)

GZIP, CRC32C = CompressType.GZIP, ChecksumType.CRC32C
BODY = b"no gzip at all"


class Bytes(bytes): ...


def controller(side: str, **fields: Any) -> Controller:
    made = Controller()
    for name, value in fields.items():
        setattr(made, f"{side}_{name}", value)
    return made


@pytest.mark.parametrize(
    "body", [BODY, bytearray(BODY), memoryview(BODY), IOBuf(BODY), Bytes(BODY)]
)
def test_request_and_response_may_be_any_bytes(body: Any) -> None:
    for data in (serialize_raw_request(body), serialize_raw_response(body, Controller())):
        assert type(data) is bytes
        assert data == BODY


def test_bytes_are_not_copied() -> None:
    assert serialize_raw_request(BODY) is BODY
    assert serialize_raw_response(BODY, Controller()) is BODY
    assert parse_raw_response(RpcResponse(1, body=BODY)) is BODY


@pytest.mark.parametrize(
    ("body", "name"), [("text", "str"), (None, "NoneType"), (7, "int"), (bytes, "the class bytes")]
)
def test_request_that_is_no_bytes_is_refused(body: Any, name: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        serialize_raw_request(body)
    assert caught.value.text == f"request must be bytes or a pybrpc.IOBuf, not {name}"
    assert caught.value.phase is Phase.QUEUED


@pytest.mark.parametrize(
    ("response", "name"), [("text", "str"), (None, "NoneType"), (bytes, "the class bytes")]
)
def test_response_that_is_no_bytes_is_refused(response: Any, name: str) -> None:
    with pytest.raises(InternalServerError, match=f"the handler returned {name}, not bytes"):
        serialize_raw_response(response, Controller())


def test_response_that_is_a_coroutine_is_refused_with_advice() -> None:
    async def handler() -> bytes:
        return BODY

    coroutine = handler()
    with pytest.raises(InternalServerError, match="make it an async def"):
        serialize_raw_response(coroutine, Controller())
    coroutine.close()


def test_compress_type_of_a_request_goes_along_and_changes_nothing() -> None:
    asked = controller("request", compress_type=GZIP)
    expected = EncodedBody(BODY, BodyEncoding(GZIP), b"")
    assert serialize_raw_request(BODY, asked) == expected


def test_checksum_of_a_request_covers_body_and_attachment() -> None:
    encoding = BodyEncoding(0, CRC32C, True)
    asked = controller("request", attachment=b"attached")
    expected = compute_checksum(CRC32C, BODY, IOBuf(b"attached"))
    assert serialize_raw_request(BODY, asked, encoding) == EncodedBody(BODY, encoding, expected)


def test_checksum_of_a_response_is_left_in_the_controller() -> None:
    asked = controller("response", checksum_type=CRC32C, compress_type=GZIP)
    assert serialize_raw_response(BODY, asked) is BODY
    assert asked._checksum_value == compute_checksum(CRC32C, BODY)


def test_unknown_checksum_can_not_be_sent() -> None:
    with pytest.raises(BadRequestError, match="Fail to send request: checksum_type=9"):
        serialize_raw_request(BODY, controller("request", checksum_type=9))
    with pytest.raises(BadResponseError, match="Fail to send response: checksum_type=9"):
        serialize_raw_response(BODY, controller("response", checksum_type=9))


def test_body_is_read_as_it_came_though_it_is_compressed() -> None:
    view = memoryview(BODY)
    for data in (
        parse_raw_request(RpcRequest(1, "S", "M", view, compress_type=GZIP)),
        parse_raw_response(RpcResponse(1, body=view, compress_type=GZIP)),
    ):
        assert type(data) is bytes
        assert data == BODY


def test_checksum_is_verified() -> None:
    value = compute_checksum(CRC32C, BODY, IOBuf(b"attached"))
    fields: dict[str, Any] = {
        "body": BODY,
        "attachment": IOBuf(b"attached"),
        "checksum_type": CRC32C,
        "checksum_value": value,
        "checksum_with_attachment": True,
    }
    assert parse_raw_request(RpcRequest(1, "S", "M", **fields)) == BODY
    assert parse_raw_response(RpcResponse(1, **fields)) == BODY
    fields["body"] = BODY + b"."
    with pytest.raises(BadRequestError, match="Fail to read request: the checksum is"):
        parse_raw_request(RpcRequest(1, "S", "M", **fields))
    with pytest.raises(BadResponseError, match="Fail to read response: the checksum is") as caught:
        parse_raw_response(RpcResponse(1, **fields))
    assert caught.value.phase is Phase.WAITING


def test_body_that_is_no_protobuf_is_refused() -> None:
    with pytest.raises(BadRequestError, match="content_type=1 is not supported"):
        parse_raw_request(RpcRequest(1, "S", "M", BODY, content_type=1))
