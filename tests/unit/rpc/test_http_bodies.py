"""Messages in bodies of HTTP. bRPC's case is in test/brpc_http_rpc_protocol_unittest.cpp,
parse_content_type (spring_protobuf_content_type)."""

from __future__ import annotations

import gzip

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.http_bodies import (
    HttpContentType,
    body_to_message,
    content_type_in,
    message_to_body,
    plain_body,
)
from tests.protos import conformance_pb2 as pb

JSON, PROTO = HttpContentType.JSON, HttpContentType.PROTO


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("application/json", JSON),
        ("Application/JSON; charset=utf-8", JSON),
        ("application/json ;x", JSON),
        ("application/proto", PROTO),
        ("application/x-protobuf;charset=UTF-8", PROTO),
        ("application/proto-json", HttpContentType.PROTO_JSON),
        ("application/proto-text", HttpContentType.PROTO_TEXT),
        ("", None),
        ("text/json", None),
        ("application/jsonx", None),
        ("application/grpc", None),
        ("application/grpc+proto", None),
    ],
)
def test_content_types(text: str, found: HttpContentType | None) -> None:
    assert content_type_in(text) is found


@pytest.mark.parametrize("content_type", HttpContentType)
def test_message_there_and_back(content_type: HttpContentType) -> None:
    message = pb.EchoRequest(message="h\xe9llo")
    body = message_to_body(message, content_type)
    assert body_to_message(body, pb.EchoRequest, content_type) == message


@pytest.mark.parametrize("content_type", HttpContentType)
@pytest.mark.parametrize("body", [b"", b"\xff\xff"])
def test_body_without_a_required_field_or_sense(content_type: HttpContentType, body: bytes) -> None:
    with pytest.raises(BodyError):
        body_to_message(body, pb.EchoRequest, content_type)


@pytest.mark.parametrize("content_type", [each for each in HttpContentType if each is not PROTO])
def test_message_that_can_not_be_told(content_type: HttpContentType) -> None:
    with pytest.raises(BodyError):
        message_to_body(pb.EchoRequest(), content_type)


@pytest.mark.parametrize("encoding", [None, "", "identity", "Identity "])
def test_body_without_encoding(encoding: str | None) -> None:
    assert plain_body(IOBuf(b"plain"), encoding, 1) == b"plain"


def test_gzip_is_taken_off() -> None:
    packed = gzip.compress(b"plain")
    assert plain_body(IOBuf(packed), "gzip", 5) == b"plain"
    assert plain_body(IOBuf(packed), " X-GZIP", 5) == b"plain"
    assert plain_body(IOBuf(), "gzip", 5) == b"", "as of a response to HEAD"
    with pytest.raises(BodyError, match="larger than max_body_size=4"):
        plain_body(IOBuf(packed), "gzip", 4)
    with pytest.raises(BodyError, match="cut short"):
        plain_body(IOBuf(packed[:-1]), "gzip", 5)
    with pytest.raises(BodyError, match="'br' is not supported"):
        plain_body(IOBuf(b"x"), "br", 5)
