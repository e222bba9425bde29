"""The echo service that is called, built from a descriptor so that no protoc is needed."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "bench"
METHOD_PATH = f"/{PACKAGE}.EchoService/Echo"
FIELDS = {
    "message": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "payload": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "sleep_us": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
}
"""`sleep_us`: how long the handler shall sleep before it answers."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{PACKAGE}/echo.proto", package=PACKAGE, syntax="proto3"
    )
    for name in ("EchoRequest", "EchoResponse"):
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(FIELDS.items(), start=1):
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            )
    file.service.add(name="EchoService").method.add(
        name="Echo", input_type=f".{PACKAGE}.EchoRequest", output_type=f".{PACKAGE}.EchoResponse"
    )
    return file


_built = descriptor_pool.Default().AddSerializedFile(_file().SerializeToString())

SERVICE: Any = _built.services_by_name["EchoService"]
EchoRequest: Any = message_factory.GetMessageClass(_built.message_types_by_name["EchoRequest"])
EchoResponse: Any = message_factory.GetMessageClass(_built.message_types_by_name["EchoResponse"])
