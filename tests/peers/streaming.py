"""A service with a unary method and three that stream."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def _make_pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="streaming.proto", package="streaming")
    text = file.message_type.add(name="Text")
    text.field.add(
        name="text",
        number=1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
    )
    service = file.service.add(name="Mixed")
    kinds = {
        "Echo": (False, False),
        "Watch": (False, True),
        "Upload": (True, False),
        "Chat": (True, True),
    }
    for name, (client_streams, server_streams) in kinds.items():
        service.method.add(
            name=name,
            input_type=".streaming.Text",
            output_type=".streaming.Text",
            client_streaming=client_streams,
            server_streaming=server_streams,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _make_pool()
MIXED = _POOL.FindServiceByName("streaming.Mixed")
"""The descriptor of the service."""
Text = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("streaming.Text"))
"""The class of its messages, with one field, `text`."""
STREAMING = ("Watch", "Upload", "Chat")
"""The methods that stream."""
