"""The service of the small examples: it takes a text, and gives one."""

from __future__ import annotations

from google.protobuf import descriptor_pool, wrappers_pb2
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

Text = wrappers_pb2.StringValue

# As protoc would make it of
#     service Texts {
#         rpc Say(google.protobuf.StringValue) returns (google.protobuf.StringValue);
#     }
FILE = FileDescriptorProto(
    name="examples/texts.proto",
    package="examples",
    syntax="proto3",
    dependency=[wrappers_pb2.DESCRIPTOR.name],
    service=[
        ServiceDescriptorProto(
            name="Texts",
            method=[
                MethodDescriptorProto(
                    name="Say",
                    input_type=".google.protobuf.StringValue",
                    output_type=".google.protobuf.StringValue",
                )
            ],
        )
    ],
)
SERVICE = (
    descriptor_pool.Default().AddSerializedFile(FILE.SerializeToString()).services_by_name["Texts"]
)
