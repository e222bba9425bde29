"""The bytes of a file of rpc_dump: for each request a header of baidu_std, an RpcDumpMeta, the body
and the attachment.

After src/brpc/rpc_dump.cpp and rpc_dump.proto of Apache bRPC. The meta has all fields that C++ sets
for baidu_std, also empty ones, so the bytes are those of C++.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError, Message

MAGIC = b"PRPC"
HEADER = struct.Struct(">4sII")
"""Magic, size of what follows the header, size of the meta."""
PROTOCOL_BAIDU_STD = 2
"""`brpc.ProtocolType` in src/brpc/options.proto."""
MAX_BODY_BYTES = 64 << 20
"""Largest request, as -max_body_size of C++."""

_FIELDS: tuple[tuple[str, int, int], ...] = (
    ("service_name", 1, FieldDescriptorProto.TYPE_STRING),
    ("method_name", 2, FieldDescriptorProto.TYPE_STRING),
    ("method_index", 3, FieldDescriptorProto.TYPE_INT32),
    ("compress_type", 4, FieldDescriptorProto.TYPE_INT32),
    ("protocol_type", 5, FieldDescriptorProto.TYPE_INT32),
    ("attachment_size", 6, FieldDescriptorProto.TYPE_INT32),
    ("authentication_data", 7, FieldDescriptorProto.TYPE_BYTES),
    ("user_data", 8, FieldDescriptorProto.TYPE_BYTES),
    ("nshead", 9, FieldDescriptorProto.TYPE_BYTES),
)


class DumpFormatError(ValueError):
    """A file is none of rpc_dump, or was cut off or changed."""


class DumpedRequest(NamedTuple):
    """A request as a file has it."""

    service: str
    method: str
    body: bytes
    """As it travelled: compressed by `compress_type`, 0 for not at all."""
    attachment: bytes = b""
    compress_type: int = 0
    protocol_type: int = PROTOCOL_BAIDU_STD


def _meta_class() -> type[Message]:
    """RpcDumpMeta, with its enums as the integers that they are on the wire."""
    file = FileDescriptorProto(name="rpc_dump.proto", package="brpc", syntax="proto2")
    message = file.message_type.add(name="RpcDumpMeta")
    for name, number, kind in _FIELDS:
        field = message.field.add(name=name, number=number, type=kind)
        field.label = FieldDescriptorProto.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("brpc.RpcDumpMeta"))


_Meta: Any = _meta_class()


def head_of(service: str, method: str, compress_type: int, sizes: tuple[int, int]) -> bytes:
    """The header and the meta of a request of baidu_std; its body and attachment follow.

    `sizes`: of these two, in bytes.
    """
    body_size, attachment_size = sizes
    meta = _Meta(
        service_name=service,
        method_name=method,
        compress_type=compress_type,
        protocol_type=PROTOCOL_BAIDU_STD,
        attachment_size=attachment_size,
        authentication_data=b"",
    ).SerializeToString()
    size = len(meta) + body_size + attachment_size
    return HEADER.pack(MAGIC, size, len(meta)) + bytes(meta)


def read_requests(file: BinaryIO) -> Iterator[DumpedRequest]:
    """The requests of a file, one at a time. DumpFormatError where it makes no sense."""
    while header := file.read(HEADER.size):
        if len(header) < HEADER.size:
            raise DumpFormatError("the file ends within a header")
        magic, size, meta_size = HEADER.unpack(header)
        if magic != MAGIC or meta_size > size:
            raise DumpFormatError("this is no file of rpc_dump")
        if size > MAX_BODY_BYTES:
            raise DumpFormatError(f"a request of {size} bytes is too long")
        data = file.read(size)
        if len(data) < size:
            raise DumpFormatError("the file ends within a request")
        yield _request_of(data, meta_size)


def _request_of(data: bytes, meta_size: int) -> DumpedRequest:
    try:
        meta = _Meta.FromString(data[:meta_size])
    except DecodeError:
        raise DumpFormatError("a request has no RpcDumpMeta") from None
    end = len(data) - meta.attachment_size
    if not meta_size <= end <= len(data):
        raise DumpFormatError("a request is shorter than its attachment")
    return DumpedRequest(
        meta.service_name,
        meta.method_name,
        data[meta_size:end],
        data[end:],
        meta.compress_type,
        meta.protocol_type,
    )
