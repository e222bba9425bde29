"""A message in blocks is what protobuf serializes, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.iobuf import IOBuf
from pybrpc.rpc.body import MessageType, serialize_request
from pybrpc.rpc.long_field import LONG_BYTES, can_have_long_field, serialize_in_blocks

LONG = bytes(range(256)) * (LONG_BYTES // 256)
Field = FieldDescriptorProto
SCALARS = {
    "first_text": Field.TYPE_STRING,
    "number": Field.TYPE_INT64,
    "data": Field.TYPE_BYTES,
    "flag": Field.TYPE_BOOL,
    "ratio": Field.TYPE_DOUBLE,
    "more_data": Field.TYPE_BYTES,
    "last_text": Field.TYPE_STRING,
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="long_field.proto", package="long_field", syntax="proto3")

    def add(name: str) -> Any:
        return file.message_type.add(name=name)

    def field(message: Any, name: str, kind: Any, label: Any = Field.LABEL_OPTIONAL) -> Any:
        return message.field.add(name=name, number=len(message.field) + 1, type=kind, label=label)

    flat = add("Flat")
    for name, kind in SCALARS.items():
        field(flat, name, kind)
    field(flat, "numbers", Field.TYPE_INT32, Field.LABEL_REPEATED)
    choice = add("Choice")
    choice.oneof_decl.add(name="one")
    for name, kind in (("text", Field.TYPE_STRING), ("data", Field.TYPE_BYTES)):
        field(choice, name, kind).oneof_index = 0
    for name, kind, label in (
        ("NoBytes", Field.TYPE_STRING, Field.LABEL_OPTIONAL),
        ("ManyBytes", Field.TYPE_BYTES, Field.LABEL_REPEATED),
    ):
        field(add(name), "data", kind, label)
    nested = add("Nested")
    field(nested, "data", Field.TYPE_BYTES)
    field(nested, "inner", Field.TYPE_MESSAGE).type_name = ".long_field.Flat"
    return file


_BUILT = descriptor_pool.DescriptorPool().AddSerializedFile(_file().SerializeToString())
CLASSES: dict[str, Any] = {
    name: message_factory.GetMessageClass(descriptor)
    for name, descriptor in _BUILT.message_types_by_name.items()
}
Flat, Choice = CLASSES["Flat"], CLASSES["Choice"]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "first_text": st.text(max_size=200),
            "number": st.integers(-(2**63), 2**63 - 1),
            "data": st.sampled_from([b"", b"short", LONG]),
            "flag": st.booleans(),
            "ratio": st.floats(),
            "more_data": st.sampled_from([b"", b"short", LONG, LONG + b"x"]),
            "last_text": st.text(max_size=3),
            "numbers": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=200),
        },
    )
)
def test_blocks_are_the_bytes_that_protobuf_makes(fields: dict[str, Any]) -> None:
    message = Flat(**fields)
    found = serialize_in_blocks(message)
    is_long = any(len(fields.get(name, b"")) >= LONG_BYTES for name in ("data", "more_data"))
    assert (found is not None) == is_long
    assert found is None or bytes(found) == message.SerializeToString()


def test_a_field_of_a_oneof_is_a_block_too() -> None:
    found = serialize_in_blocks(Choice(data=LONG))
    assert found is not None
    assert bytes(found) == Choice(data=LONG).SerializeToString()
    assert serialize_in_blocks(Choice(text="short")) is None


def test_unknown_fields_are_left_to_protobuf() -> None:
    message = CLASSES["NoBytes"].FromString(Choice(data=LONG).SerializeToString())
    assert message.SerializeToString()  # a field that this class does not know
    unknown = Choice.FromString(Choice(data=LONG).SerializeToString() + b"\x7a\x01x")
    assert serialize_in_blocks(unknown) is None


@pytest.mark.parametrize(
    ("name", "can"),
    [("Flat", True), ("Choice", True), ("NoBytes", False), ("ManyBytes", False), ("Nested", False)],
)
def test_only_flat_messages_with_bytes_are_serialized_in_blocks(name: str, can: bool) -> None:
    assert can_have_long_field(CLASSES[name].DESCRIPTOR) == can


def test_a_class_is_serialized_in_blocks_after_its_first_long_message() -> None:
    kind, message = MessageType(Flat), Flat(data=LONG, number=7)
    whole = message.SerializeToString()
    assert kind.serialize_body(message) == whole
    body = kind.serialize_body(message)
    assert isinstance(body, IOBuf)
    assert bytes(body) == whole
    assert kind.serialize_body(Flat(number=7)) == Flat(number=7).SerializeToString()
    assert type(kind.serialize_body(message)) is bytes  # the last one was short


def test_the_long_field_is_one_block() -> None:
    body = serialize_in_blocks(Flat(first_text="a", data=LONG, flag=True))
    assert body is not None
    assert [len(block) for block in body][1] == len(LONG)


def test_requests_are_in_blocks_only_if_nothing_encodes_them() -> None:
    kind, message = MessageType(Flat), Flat(data=LONG)
    kind.serialize_body(message)
    assert isinstance(serialize_request(message, kind), IOBuf)
