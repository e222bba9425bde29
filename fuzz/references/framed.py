"""Frames of hulu_pbrpc and sofa_pbrpc, taken apart with struct; their metas by the numbers of the
fields alone, without the schemas of pybrpc."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from fuzz.references.frames import Fields, Frames
from pybrpc.protocols.message import BadMessage, Message, OversizedMessage, RpcRequest
from pybrpc.protocols.meta_schema import message_classes
from pybrpc.protocols.streaming.stream_frame import StreamFrame

_HULU, _SOFA = struct.Struct("<4sII"), struct.Struct("<4sIQQ")
_MAX_OVERSIZED_META = 64 * 1024
_MAX_META = 1024 * 1024
_NOTHING: Any = message_classes("fuzz.nothing", {"Nothing": ""})["Nothing"]
_SOME: Any = message_classes("fuzz.some", {"Some": "int32 some = 1"})["Some"]
_VARINT, _BYTES = 0, 2
_FIRST_BYTE = 0, -1
"""The key of the first byte in a Meta."""
_SOFA_TO_OURS = {1: 2, 2: 3, 3: 1}
_EINTERNAL = 2001

Meta = dict[tuple[int, int], Any]
"""The last value of each field, by its number and its wire type."""


def frames_of(name: str, stream: bytes, limit_bytes: int) -> Frames:
    """The frames that a parser of "HULU" or "SOFA" must find in `stream`."""
    header = _HULU if name == "HULU" else _SOFA
    fields_of = _hulu_fields if name == "HULU" else _sofa_fields
    found: list[Fields] = []
    while stream:
        if len(stream) < header.size:
            is_mine = name.encode().startswith(stream[:4])
            return Frames(found, not is_mine, len(stream) if is_mine else 0)
        sizes = _sizes_of(name, header.unpack(stream[: header.size]))
        if sizes is None:
            return Frames(found, True)
        meta_size, size = sizes
        is_over = size > limit_bytes
        if meta_size > (min(_MAX_OVERSIZED_META, limit_bytes) if is_over else _MAX_META):
            return Frames(found, True)
        frame = stream[header.size :][: meta_size if is_over else size]
        if len(frame) < (meta_size if is_over else size):
            return Frames(found, False, len(stream))
        fields = _fields_of_frame(frame, meta_size, is_over, fields_of)
        if fields is not None:
            found.append(fields)
        if fields is None or is_over:
            return Frames(found, True)
        stream = stream[header.size + size :]
    return Frames(found, False)


def fields_of_message(message: Message) -> Fields:
    """A message that was parsed, in the same plain fields."""
    assert not isinstance(message, StreamFrame)
    if isinstance(message, BadMessage | OversizedMessage):
        kind = "oversized" if isinstance(message, OversizedMessage) else "bad"
        return {"kind": kind, "id": message.correlation_id, "asks": message.is_request}
    fields = {
        "id": message.correlation_id,
        "compress_type": message.compress_type,
        "body": bytes(message.body),
        "attachment": bytes(message.attachment or b""),
    }
    if not isinstance(message, RpcRequest):
        return {"kind": "response", "error": (message.error_code, message.error_text), **fields}
    ids = (message.log_id, message.trace_id, message.parent_span_id, message.span_id)
    names = (message.service, message.method, message.method_index)
    credential = message.credential
    return {"kind": "request", "names": names, "ids": ids, "credential": credential, **fields}


def _sizes_of(name: str, header: tuple[Any, ...]) -> tuple[int, int] | None:
    """The sizes of the meta and of all after the header; `None` if they make no sense."""
    if header[0] != name.encode():
        return None
    if name == "HULU":
        _, size, meta_size = header
        return None if meta_size > size else (meta_size, size)
    _, meta_size, body_size, size = header
    return None if meta_size + body_size != size else (meta_size, size)


def _fields_of_frame(
    frame: bytes, meta_size: int, is_over: bool, fields_of: Callable[[Meta], Fields | None]
) -> Fields | None:
    """`None`: it makes no sense at all."""
    try:
        # protobuf is laxer with a message that has no fields.
        _SOME.FromString(frame[:meta_size])
        unread: Any = UnknownFieldSet(_NOTHING.FromString(frame[:meta_size]))
    except DecodeError:
        return None
    meta: Meta = {_FIRST_BYTE: frame[:1] if meta_size else b""}
    meta.update({(each.field_number, each.wire_type): each.data for each in unread})
    fields = fields_of(meta)
    if fields is None:
        return None
    body_size, payload = fields.pop("body_size"), frame[meta_size:]
    if body_size is None:
        body_size = len(payload)
    if is_over or not 0 <= body_size <= len(payload):
        kind = "oversized" if is_over else "bad"
        return {"kind": kind, "id": fields["id"], "asks": fields["kind"] == "request"}
    return {**fields, "body": payload[:body_size], "attachment": payload[body_size:]}


def _hulu_fields(meta: Meta) -> Fields | None:
    if (1, _BYTES) not in meta or meta[_FIRST_BYTE] == b"\x08":
        return {
            "kind": "response",
            "id": _zigzag(meta.get((3, _VARINT), 0)),
            "error": (_int32(meta.get((1, _VARINT), 0)), _text(meta.get((2, _BYTES), b""))),
            "compress_type": _optional(meta, 4, _int32),
            "body_size": _optional(meta, 8, _int32),
        }
    index, name = _optional(meta, 2, _int32), meta.get((14, _BYTES))
    if index is None and name is None:
        return None
    return {
        "kind": "request",
        "id": _int64(meta.get((4, _VARINT), 0)),
        "names": (
            _text(meta[1, _BYTES]),
            _text(name or b""),
            None if index == -1 and name is not None else index,
        ),
        "ids": tuple(_optional(meta, number, _int64) for number in (5, 7, 8, 9)),
        "credential": meta.get((15, _BYTES)),
        "compress_type": _optional(meta, 3, _int32),
        "body_size": _optional(meta, 12, _int32),
    }


def _sofa_fields(meta: Meta) -> Fields | None:
    kind = _optional(meta, 1, _int32)
    if kind not in (0, 1) or (2, _VARINT) not in meta:
        return None
    number = _optional(meta, 300, _int32)
    fields = {
        "id": meta[2, _VARINT],
        "compress_type": _SOFA_TO_OURS.get(number, number) if number is not None else None,
        "body_size": None,
    }
    if kind == 1:
        code = _int32(meta.get((201, _VARINT), 0))
        if not code and meta.get((200, _VARINT)):
            code = _EINTERNAL
        return {"kind": "response", "error": (code, _text(meta.get((202, _BYTES), b""))), **fields}
    service, _, method = _text(meta.get((100, _BYTES), b"")).rpartition(".")
    names = (service, method, None)
    return {"kind": "request", "names": names, "ids": (None,) * 4, "credential": None, **fields}


def _optional(meta: Meta, number: int, convert: Callable[[int], int]) -> int | None:
    value = meta.get((number, _VARINT))
    return None if value is None else convert(value)


def _int32(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def _int64(value: int) -> int:
    return (value ^ 1 << 63) - (1 << 63)


def _zigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
