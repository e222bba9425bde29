"""RpcMeta, the message in front of every baidu_std payload, as a table and as a protobuf class.

The table has the field numbers of bRPC 1.17: src/brpc/policy/baidu_rpc_meta.proto and
src/brpc/streaming_rpc_meta.proto. It differs from those files where the wire does not: text is
`bytes`, because C++ neither checks nor promises UTF-8; required fields are optional; enums are
int32; a map is a list of entries.

pybrpc does not import this module: `meta_decoder` and `meta_encoder` handle the bytes themselves.
Tests and fuzz targets use the class to make frames, and to judge that code. The class is built from
the table, because code that protoc generates refuses another major version of the protobuf runtime.
It has a pool of its own, because two packages can't register the same file name in the default one.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_PACKAGE = "pybrpc.baidu_std"

_TYPES = {
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}

_MESSAGES: dict[str, str] = {
    "RpcRequestMeta": """
        bytes service_name = 1
        bytes method_name = 2
        int64 log_id = 3
        int64 trace_id = 4
        int64 span_id = 5
        int64 parent_span_id = 6
        bytes request_id = 7
        int32 timeout_ms = 8
    """,
    "RpcResponseMeta": """
        int32 error_code = 1
        bytes error_text = 2
    """,
    "StreamSettings": """
        int64 stream_id = 1
        bool need_feedback = 2
        bool writable = 3
        repeated int64 extra_stream_ids = 4
    """,
    "UserField": """
        bytes key = 1
        bytes value = 2
    """,
    "RpcMeta": """
        RpcRequestMeta request = 1
        RpcResponseMeta response = 2
        int32 compress_type = 3
        int64 correlation_id = 4
        int32 attachment_size = 5
        bytes authentication_data = 7
        StreamSettings stream_settings = 8
        repeated UserField user_fields = 9
        int32 content_type = 10
        int32 checksum_type = 11
        bytes checksum_value = 12
        bool checksum_with_attachment = 13
    """,
}


def _add_field(message: Any, line: str) -> None:
    *label, type_name, name, _, number = line.split()
    field = message.field.add(name=name, number=int(number))
    repeated = label == ["repeated"]
    field.label = (
        FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    )
    if type_name in _TYPES:
        field.type = _TYPES[type_name]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{type_name}"


def _build_file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="pybrpc/baidu_std.proto", package=_PACKAGE, syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for line in fields.strip().splitlines():
            _add_field(message, line)
    return file


def _build_rpc_meta() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_build_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.RpcMeta"))


RpcMeta: Any = _build_rpc_meta()
"""The message class. `Any`: its attributes are only known at run time."""
