"""A service whose messages look different in JSON, as its options say."""

from __future__ import annotations

from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

PACKAGE = "json_forms"


@cache
def json_service() -> ServiceDescriptor:
    """`JsonForms`, with the methods `Bytes` and `List`, whose responses are as their requests."""
    file = FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    service = file.service.add(name="JsonForms")
    for name, field, kind, label in (
        ("Bytes", "data", FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.LABEL_OPTIONAL),
        ("List", "texts", FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_REPEATED),
    ):
        message = file.message_type.add(name=name)
        message.field.add(name=field, number=1, type=kind, label=label)
        full_name = f".{PACKAGE}.{name}"
        service.method.add(name=name, input_type=full_name, output_type=full_name)
    built = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    found: ServiceDescriptor = built.services_by_name["JsonForms"]
    return found
