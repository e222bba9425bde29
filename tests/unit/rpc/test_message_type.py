"""A class of messages, and whether one of them can lack something."""

from __future__ import annotations

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    struct_pb2,
    text_format,
    timestamp_pb2,
)
from google.protobuf.message import DecodeError, Message

from pybrpc.rpc.body import MessageType, can_be_incomplete
from tests.protos import conformance_pb2 as pb

PROTO2 = """
    name: "holders.proto" package: "holders" syntax: "proto2"
    message_type { name: "Needs"
        field { name: "it" number: 1 label: LABEL_REQUIRED type: TYPE_INT32 } }
    message_type { name: "Holds"
        field { name: "a" number: 1 label: LABEL_OPTIONAL
            type: TYPE_MESSAGE type_name: ".holders.Needs" } }
    message_type { name: "HoldsMany"
        field { name: "a" number: 1 label: LABEL_REPEATED
            type: TYPE_MESSAGE type_name: ".holders.Needs" } }
    message_type { name: "HoldsFarBelow"
        field { name: "a" number: 1 label: LABEL_OPTIONAL
            type: TYPE_MESSAGE type_name: ".holders.HoldsFarBelow" }
        field { name: "b" number: 2 label: LABEL_OPTIONAL
            type: TYPE_MESSAGE type_name: ".holders.Holds" } }
    message_type { name: "HoldsInMap"
        field { name: "a" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
            type_name: ".holders.HoldsInMap.AEntry" }
        nested_type { name: "AEntry" options { map_entry: true }
            field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_INT32 }
            field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
                type_name: ".holders.Needs" } } }
    message_type { name: "HoldsNone"
        field { name: "a" number: 1 label: LABEL_OPTIONAL
            type: TYPE_MESSAGE type_name: ".holders.HoldsNone" } }
"""


@pytest.fixture(scope="module")
def holders() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(PROTO2, descriptor_pb2.FileDescriptorProto()))
    return pool


def test_views_are_read_too() -> None:
    request = pb.EchoRequest(message="hello")
    data = request.SerializeToString()
    for view in (memoryview(data), memoryview(bytearray(b"x" + data))[1:].toreadonly()):
        assert MessageType(pb.EchoRequest).parse(view) == request
    with pytest.raises(DecodeError):
        MessageType(pb.EchoRequest).parse(memoryview(b"\xff\xff"))


def test_message_survives_serializing_and_parsing() -> None:
    kind = MessageType(pb.EchoRequest)
    request = pb.EchoRequest(message="hello")
    assert kind.serialize(request) == request.SerializeToString()
    assert kind.parse(kind.serialize(request)) == request
    assert repr(kind) == "<MessageType conformance.EchoRequest>"


def test_bytes_that_do_not_parse_are_an_error() -> None:
    with pytest.raises(DecodeError):
        MessageType(pb.EchoRequest).parse(b"\xff")


def test_has_is_true_for_messages_of_the_class() -> None:
    kind = MessageType(pb.EchoRequest)
    assert kind.has(pb.EchoRequest())
    assert not kind.has(pb.EchoResponse())
    assert not kind.has(None)
    assert not kind.has(pb.EchoRequest)


def test_an_incomplete_message_is_known() -> None:
    kind = MessageType(pb.EchoRequest)
    assert kind.can_be_incomplete
    assert not kind.is_complete(pb.EchoRequest())
    assert kind.is_complete(pb.EchoRequest(message=""))
    assert kind.serialize(pb.EchoRequest(sleep_ms=1))


@pytest.mark.parametrize(
    "message_class", [struct_pb2.Struct, timestamp_pb2.Timestamp, descriptor_pb2.GeneratedCodeInfo]
)
def test_message_without_required_fields_is_always_complete(message_class: type[Message]) -> None:
    """Nested, recursive and with maps."""
    kind = MessageType(message_class)
    assert not kind.can_be_incomplete
    assert kind.is_complete(message_class())


@pytest.mark.parametrize("holder", ["Holds", "HoldsMany", "HoldsFarBelow", "HoldsInMap"])
def test_message_that_holds_required_fields_can_be_incomplete(
    holders: descriptor_pool.DescriptorPool, holder: str
) -> None:
    assert can_be_incomplete(holders.FindMessageTypeByName(f"holders.{holder}"))


def test_message_that_holds_no_required_fields_can_not_be_incomplete(
    holders: descriptor_pool.DescriptorPool,
) -> None:
    assert not can_be_incomplete(holders.FindMessageTypeByName("holders.HoldsNone"))


def test_extensions_may_have_required_fields() -> None:
    assert can_be_incomplete(descriptor_pb2.MethodOptions.DESCRIPTOR)
