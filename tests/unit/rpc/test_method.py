"""Methods from descriptors."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodOptions
from google.protobuf.descriptor_pool import DescriptorPool

from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import method_of, methods_of
from tests.protos import conformance_pb2 as pb

ECHO = pb.DESCRIPTOR.services_by_name["EchoService"]


def test_methods_in_the_order_of_the_proto_file() -> None:
    found = [(method.service_name, method.name) for method in methods_of(ECHO)]
    assert found == [("conformance.EchoService", "Echo"), ("conformance.EchoService", "Stream")]


def test_method_has_the_classes_of_its_messages() -> None:
    echo = next(methods_of(ECHO))
    assert (echo.request_class, echo.response_class) == (pb.EchoRequest, pb.EchoResponse)


def test_full_name() -> None:
    echo = next(methods_of(ECHO))
    assert echo.full_name == "conformance.EchoService.Echo"
    assert repr(echo) == "<Method conformance.EchoService.Echo>"


def test_another_encoding_makes_another_method() -> None:
    echo = next(methods_of(ECHO))
    checked = echo.with_encoding(BodyEncoding(checksum_type=1))
    assert (checked.full_name, checked.request_class) == (echo.full_name, echo.request_class)
    assert (checked.encoding.checksum_type, echo.encoding) == (1, PLAIN)


@pytest.mark.parametrize(
    ("level", "is_idempotent"),
    [
        (None, False),
        ("IDEMPOTENCY_UNKNOWN", False),
        ("NO_SIDE_EFFECTS", True),
        ("IDEMPOTENT", True),
    ],
)
def test_method_is_idempotent_if_its_idempotency_level_says_so(
    level: str | None, is_idempotent: bool
) -> None:
    found = method_of(method_with_level(level))
    assert found.is_idempotent is is_idempotent
    assert found.with_encoding(BodyEncoding(checksum_type=1)).is_idempotent is is_idempotent


def test_method_knows_its_place_in_the_service() -> None:
    methods = list(methods_of(ECHO))
    assert [(method.name, method.index) for method in methods] == [("Echo", 0), ("Stream", 1)]
    assert methods[1].with_encoding(BodyEncoding(checksum_type=1)).index == 1


def method_with_level(level: str | None) -> Any:
    """The descriptor of a method with this idempotency_level; `None`: without one."""
    file = FileDescriptorProto(name=f"level_{level}.proto", package=f"level_{level}".lower())
    file.message_type.add(name="Nothing")
    method = file.service.add(name="Service").method.add(name="Do")
    method.input_type = method.output_type = f".{file.package}.Nothing"
    if level is not None:
        method.options.idempotency_level = MethodOptions.IdempotencyLevel.Value(level)
    pool = DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName(f"{file.package}.Service").methods_by_name["Do"]


@pytest.mark.parametrize("thing", [None, "EchoService", pb, pb.EchoRequest.DESCRIPTOR, object()])
def test_methods_of_refuses_anything_but_a_service(thing: object) -> None:
    with pytest.raises(TypeError, match="pass the descriptor of a service, such as"):
        list(methods_of(thing))  # type: ignore[arg-type]


@pytest.mark.parametrize("thing", [None, "Echo", ECHO, pb.EchoRequest, object()])
def test_method_of_refuses_anything_but_a_method(thing: object) -> None:
    with pytest.raises(TypeError, match="pass the descriptor of a method, such as"):
        method_of(thing)  # type: ignore[arg-type]


def test_method_of_makes_a_method_from_its_descriptor() -> None:
    assert method_of(ECHO.methods_by_name["Stream"]).full_name == "conformance.EchoService.Stream"


def test_method_serializes_requests_and_parses_responses() -> None:
    method, controller = next(methods_of(ECHO)), Controller()
    request = pb.EchoRequest(message="x")
    assert method.serialize(request, None) == request.SerializeToString()
    with pytest.raises(BadRequestError):
        method.serialize(pb.EchoResponse(message="x"), None)
    answer = pb.EchoResponse(message="y")
    response = RpcResponse(
        1,
        body=answer.SerializeToString(),
        attachment=IOBuf(b"beside it"),
        user_fields={"k": "v"},
    )
    assert method.parse(response, 1000) == answer
    with pytest.raises(BadResponseError):
        method.parse(RpcResponse(1, body=b"\xff"), 1000)
    response.checksum_type = ChecksumType.CRC32C
    method.fill(controller, response)
    assert bytes(controller.response_attachment) == b"beside it"
    assert controller.response_user_fields == {"k": "v"}
    assert controller.response_checksum_type == ChecksumType.CRC32C


def test_requests_have_the_encoding_of_the_method() -> None:
    method = next(methods_of(ECHO)).with_encoding(BodyEncoding(CompressType.GZIP))
    packed = method.serialize(pb.EchoRequest(message="x"), None)
    assert isinstance(packed, EncodedBody)
    assert packed.encoding == method.encoding
