"""Services that exist as descriptors only, for tests of routing."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

_FIELD = descriptor_pb2.FieldDescriptorProto


def make_service(
    full_name: str, methods: list[str], streams: tuple[str, ...] = ()
) -> ServiceDescriptor:
    """A service of methods from Request to Response. Fields of Request: id, name, inner (with
    `id`, and `deeper`, an Inner), many (Inners), tags (texts), a_Z045_b (in JSON: "a-b")."""
    package, _, name = full_name.rpartition(".")
    file = descriptor_pb2.FileDescriptorProto(name=f"{full_name}.proto", package=package)
    root = f".{package}" if package else ""
    inner = file.message_type.add(name="Inner")
    _add_field(inner, "id", _FIELD.TYPE_INT64)
    _add_field(inner, "deeper", _FIELD.TYPE_MESSAGE, type_name=f"{root}.Inner")
    request = file.message_type.add(name="Request")
    _add_field(request, "id", _FIELD.TYPE_INT64)
    _add_field(request, "name", _FIELD.TYPE_STRING)
    _add_field(request, "inner", _FIELD.TYPE_MESSAGE, type_name=f"{root}.Inner")
    _add_field(request, "many", _FIELD.TYPE_MESSAGE, type_name=f"{root}.Inner", is_repeated=True)
    _add_field(request, "tags", _FIELD.TYPE_STRING, is_repeated=True)
    _add_field(request, "a_Z045_b", _FIELD.TYPE_STRING)
    file.message_type.add(name="Response")
    service = file.service.add(name=name)
    for method in methods:
        service.method.add(
            name=method,
            input_type=f"{root}.Request",
            output_type=f"{root}.Response",
            server_streaming=method in streams,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName(full_name)


def _add_field(
    message: descriptor_pb2.DescriptorProto,
    name: str,
    kind: _FIELD.Type,
    type_name: str = "",
    is_repeated: bool = False,
) -> None:
    message.field.add(
        name=name,
        number=len(message.field) + 1,
        type=kind,
        type_name=type_name or None,
        label=_FIELD.LABEL_REPEATED if is_repeated else _FIELD.LABEL_OPTIONAL,
    )
