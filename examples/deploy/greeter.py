"""A service to be deployed: in a container, or by systemd. See docs/deployment.md.

    pybrpc serve greeter:make_server --bind 127.0.0.1:8000

It is one file that the command imports, as its own service would be.
"""

from __future__ import annotations

import time
from typing import Any

from google.protobuf import descriptor_pool, wrappers_pb2
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

import pybrpc

Text = wrappers_pb2.StringValue

# As protoc would make it of
#     service Greeter {
#       rpc Greet(google.protobuf.StringValue) returns (google.protobuf.StringValue);
#     }
FILE = FileDescriptorProto(
    name="examples/deploy/greeter.proto",
    package="examples",
    syntax="proto3",
    dependency=[wrappers_pb2.DESCRIPTOR.name],
    service=[
        ServiceDescriptorProto(
            name="Greeter",
            method=[
                MethodDescriptorProto(
                    name="Greet",
                    input_type=".google.protobuf.StringValue",
                    output_type=".google.protobuf.StringValue",
                )
            ],
        )
    ],
)
BUILT = descriptor_pool.Default().AddSerializedFile(FILE.SerializeToString())
SERVICE = BUILT.services_by_name["Greeter"]
WORK_S = 0.5
"""Seconds that a call takes."""


class Greeter:
    def Greet(self, request: Any, controller: pybrpc.Controller) -> Any:
        time.sleep(WORK_S)  # stands for work
        return Text(value=f"Hello, {request.value}!")


def make_server() -> pybrpc.Server:
    """Called in each worker."""
    server = pybrpc.Server(version="greeter 1.0")
    server.add_service(SERVICE, Greeter())
    return server
