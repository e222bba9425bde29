"""The messages and the service of conformance.proto, for any protobuf runtime.

Written by hand in the shape of protoc's output, because generated code loads only with runtimes
of its own major version. Keep it equal to conformance.proto.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

_TYPES = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
}

_REQUEST = """
    required string message = 1
    optional int32 sleep_ms = 2
    optional int32 fail_code = 3
    optional string fail_text = 4
    optional int32 reply_bytes = 5
"""

_RESPONSE = """
    required string message = 1
    optional int64 log_id = 2
    optional string request_id = 3
    optional int32 attachment_bytes = 4
    optional int32 timeout_ms = 5
"""


def _message(name: str, fields: str) -> DescriptorProto:
    message = DescriptorProto(name=name)
    for line in fields.strip().splitlines():
        label, type_name, field_name, _, number = line.split()
        message.field.add(
            name=field_name,
            number=int(number),
            type=_TYPES[type_name],
            label=FieldDescriptorProto.Label.Value(f"LABEL_{label.upper()}"),
        )
    return message


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="conformance.proto", package="conformance", syntax="proto2")
    file.options.cc_generic_services = True
    file.options.py_generic_services = True
    file.message_type.append(_message("EchoRequest", _REQUEST))
    file.message_type.append(_message("EchoResponse", _RESPONSE))
    service = file.service.add(name="EchoService")
    for method in ("Echo", "Stream"):
        service.method.add(
            name=method,
            input_type=".conformance.EchoRequest",
            output_type=".conformance.EchoResponse",
        )
    return file


DESCRIPTOR: Any = descriptor_pool.Default().AddSerializedFile(_file().SerializeToString())
EchoRequest: Any = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["EchoRequest"])
EchoResponse: Any = message_factory.GetMessageClass(
    DESCRIPTOR.message_types_by_name["EchoResponse"]
)
