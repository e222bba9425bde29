"""Frames of baidu_std, taken apart with struct and protobuf alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from fuzz.references.stream_frames import BROKEN, fields_of_stream_frame, next_stream_frame
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.protocols.message import (
    BadMessage,
    Message,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
)
from pybrpc.protocols.streaming.stream_frame import StreamFrame

_HEADER = struct.Struct("!4sII")
_MAX_OVERSIZED_META = 64 * 1024
_MAX_META = 1024 * 1024
_COMMON = ("compress_type", "content_type", "checksum_type", "checksum_value")
_OF_REQUEST = ("log_id", "timeout_ms", "trace_id", "span_id", "parent_span_id")

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Frames:
    """The contents of a stream: its messages in plain fields, whether the bytes behind them are
    malformed, and how many bytes are the beginning of a message."""

    messages: list[Fields]
    is_broken: bool
    waiting_bytes: int = 0


def frames_of(stream: bytes, limit_bytes: int, is_decided: bool = False) -> Frames:
    """The frames that a parser must find in `stream`.

    Frames of streams may stand behind the first one, or anywhere if the connection `is_decided` to
    be one of baidu_std.
    """
    found: list[Fields] = []
    while stream:
        if stream[:1] == b"S" and (found or is_decided):
            of_stream, size = next_stream_frame(stream, limit_bytes)
            if of_stream is None:
                return _rest(found, stream, is_broken=size == BROKEN)
            found.append({"kind": "stream", "id": 0, "frame": of_stream})
            stream = stream[size:]
            continue
        if len(stream) < _HEADER.size:
            return _rest(found, stream, is_broken=not b"PRPC".startswith(stream[:4]))
        magic, body_size, meta_size = _HEADER.unpack(stream[: _HEADER.size])
        is_over = body_size > limit_bytes
        if magic != b"PRPC" or meta_size > body_size:
            return Frames(found, True)
        if meta_size > (min(_MAX_OVERSIZED_META, limit_bytes) if is_over else _MAX_META):
            return Frames(found, True)
        frame = stream[_HEADER.size :][: meta_size if is_over else body_size]
        if len(frame) < (meta_size if is_over else body_size):
            return _rest(found, stream, is_broken=False)
        fields = _fields_of_frame(frame, meta_size, body_size, is_over)
        if fields is not None:
            found.append(fields)
        if fields is None or is_over:
            return Frames(found, True)
        stream = stream[_HEADER.size + body_size :]
    return Frames(found, False)


def without_streams(messages: list[Fields]) -> list[Fields]:
    """Those that are no frames of streams."""
    return [message for message in messages if message["kind"] != "stream"]


def fields_of_message(message: Message) -> Fields:
    """A message that was parsed, in the same plain fields."""
    if isinstance(message, StreamFrame):
        return {"kind": "stream", "id": 0, "frame": fields_of_stream_frame(message)}
    if isinstance(message, BadMessage | OversizedMessage):
        kind = "oversized" if isinstance(message, OversizedMessage) else "bad"
        return {"kind": kind, "id": message.correlation_id, "asks": message.is_request}
    is_request = isinstance(message, RpcRequest)
    names = (*_COMMON, *(_OF_REQUEST if is_request else ()))
    settings = message.stream_settings
    return {
        "kind": "request" if is_request else "response",
        "id": message.correlation_id,
        "body": bytes(message.body),
        "attachment": bytes(message.attachment or b""),
        "user_fields": message.user_fields,
        "checksum_with_attachment": message.checksum_with_attachment,
        "stream": None
        if settings is None
        else (
            settings.stream_id,
            settings.need_feedback,
            settings.writable,
            settings.extra_stream_ids,
        ),
        **{name: getattr(message, name) for name in names},
        **(_own_of_request(message) if isinstance(message, RpcRequest) else {}),
        **(_own_of_response(message) if isinstance(message, RpcResponse) else {}),
    }


def _rest(found: list[Fields], stream: bytes, is_broken: bool) -> Frames:
    return Frames(found, is_broken, 0 if is_broken else len(stream))


def _own_of_request(request: RpcRequest) -> Fields:
    return {
        "names": (request.service, request.method),
        "request_id": request.request_id,
        "credential": request.credential,
    }


def _own_of_response(response: RpcResponse) -> Fields:
    return {"error": (response.error_code, response.error_text)}


def _fields_of_frame(frame: bytes, meta_size: int, body_size: int, is_over: bool) -> Fields | None:
    """`None`: it makes no sense at all."""
    try:
        meta = RpcMeta.FromString(frame[:meta_size])
    except DecodeError:
        return None
    asks = meta.HasField("request")
    payload = frame[meta_size:]
    if is_over or not 0 <= meta.attachment_size <= body_size - meta_size:
        kind = "oversized" if is_over else "bad"
        return {"kind": kind, "id": meta.correlation_id, "asks": asks}
    if not _has_required(meta):
        return None
    end = len(payload) - meta.attachment_size
    return {
        "kind": "request" if asks else "response",
        "id": meta.correlation_id,
        "body": payload[:end],
        "attachment": payload[end:],
        "user_fields": {_data(f.key): _data(f.value) for f in meta.user_fields} or None,
        "checksum_with_attachment": _get(meta, "checksum_with_attachment"),
        "stream": _stream_of(meta),
        **{name: _get(meta, name) for name in _COMMON},
        **(_request_of(meta) if asks else _response_of(meta)),
    }


def _has_required(meta: Any) -> bool:
    if meta.HasField("stream_settings") and not meta.stream_settings.HasField("stream_id"):
        return False
    request = meta.request
    names = ("service_name", "method_name")
    return not meta.HasField("request") or all(request.HasField(name) for name in names)


def _request_of(meta: Any) -> Fields:
    request = meta.request
    request_id = _get(request, "request_id")
    return {
        "names": (_text(request.service_name), _text(request.method_name)),
        "request_id": None if request_id is None else _text(request_id),
        "credential": _get(meta, "authentication_data"),
        **{name: _get(request, name) for name in _OF_REQUEST},
    }


def _response_of(meta: Any) -> Fields:
    return {"error": (meta.response.error_code, _text(meta.response.error_text))}


def _stream_of(meta: Any) -> tuple[Any, ...] | None:
    if not meta.HasField("stream_settings"):
        return None
    settings = meta.stream_settings
    return (
        settings.stream_id,
        _get(settings, "need_feedback"),
        _get(settings, "writable"),
        tuple(settings.extra_stream_ids),
    )


def _get(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _data(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def header(meta: bytes, payload: bytes) -> bytes:
    """A frame of a meta and what follows it."""
    return _HEADER.pack(b"PRPC", len(meta) + len(payload), len(meta)) + meta + payload


def buffer_of(data: bytes) -> IOBuf | None:
    """An attachment; `None` for none."""
    return IOBuf(data) if data else None
