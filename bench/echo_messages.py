"""The echo services that are called, built from descriptors so that no protoc is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

if TYPE_CHECKING:
    Fields = Mapping[str, FieldDescriptorProto.Type.ValueType]

PACKAGE = "bench"
METHOD_PATH = f"/{PACKAGE}.EchoService/Echo"
FIELDS: Fields = {
    "message": FieldDescriptorProto.TYPE_STRING,
    "payload": FieldDescriptorProto.TYPE_BYTES,
    "sleep_us": FieldDescriptorProto.TYPE_UINT32,
}
"""`sleep_us`: how long the handler shall sleep before it answers."""


class Echo(NamedTuple):
    """The service of a package, and its messages."""

    service: Any
    request: Any
    response: Any


def _build(package: str, fields: Fields) -> Echo:
    built = descriptor_pool.Default().AddSerializedFile(_file(package, fields).SerializeToString())
    messages = built.message_types_by_name
    return Echo(
        built.services_by_name["EchoService"],
        message_factory.GetMessageClass(messages["EchoRequest"]),
        message_factory.GetMessageClass(messages["EchoResponse"]),
    )


def _file(package: str, fields: Fields) -> FileDescriptorProto:
    file = FileDescriptorProto(name=f"{package}/echo.proto", package=package, syntax="proto3")
    for name in ("EchoRequest", "EchoResponse"):
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=FieldDescriptorProto.LABEL_OPTIONAL,
            )
    file.service.add(name="EchoService").method.add(
        name="Echo", input_type=f".{package}.EchoRequest", output_type=f".{package}.EchoResponse"
    )
    return file


SERVICE, EchoRequest, EchoResponse = _build(PACKAGE, FIELDS)

EXAMPLE = _build("example", {"message": FieldDescriptorProto.TYPE_BYTES})
"""That of C++ bRPC's examples. Their message is a string, which is the same on the wire."""
