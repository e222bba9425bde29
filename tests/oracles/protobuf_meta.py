"""The codec of the meta once more, with protobuf's own message class.

The functions have the names and the contracts of those in `meta_decoder` and `meta_encoder`, which
tests and fuzz targets compare with these.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from pybrpc.errors import ProtocolError
from pybrpc.iobuf import BytesLike, IOBuf
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings

Meta = Any


def decode_meta(data: bytes | memoryview) -> Meta:
    """The RpcMeta in `data`; ProtocolError if there is none."""
    try:
        return RpcMeta.FromString(data)
    except DecodeError:
        raise ProtocolError("meta is not an RpcMeta") from None


def is_request(meta: Meta) -> bool:
    """Whether `meta` belongs to a request."""
    return meta.HasField("request")  # type: ignore[no-any-return]


def request_of(meta: Meta, body: BytesLike, attachment: IOBuf | None) -> RpcRequest:
    """The request that `meta` describes; ProtocolError if a required field is missing."""
    fields = meta.request
    has = fields.HasField
    service = fields.service_name
    method = fields.method_name
    if not (service and method) and not (has("service_name") and has("method_name")):
        raise ProtocolError("request has no service_name or no method_name")
    request = RpcRequest(
        meta.correlation_id,
        service.decode("utf-8", "replace"),
        method.decode("utf-8", "replace"),
        body,
        attachment,
    )
    if has("log_id"):
        request.log_id = fields.log_id
    if has("request_id"):
        request.request_id = fields.request_id.decode("utf-8", "replace")
    if has("timeout_ms"):
        request.timeout_ms = fields.timeout_ms
    if has("trace_id"):
        request.trace_id = fields.trace_id
    if has("span_id"):
        request.span_id = fields.span_id
    if has("parent_span_id"):
        request.parent_span_id = fields.parent_span_id
    if meta.HasField("authentication_data"):
        request.credential = meta.authentication_data
    _read_common(meta, request)
    return request


def response_of(meta: Meta, body: BytesLike, attachment: IOBuf | None) -> RpcResponse:
    """The response that `meta` describes; ProtocolError if a required field is missing."""
    fields = meta.response
    response = RpcResponse(
        meta.correlation_id,
        fields.error_code,
        fields.error_text.decode("utf-8", "replace"),
        body,
        attachment,
    )
    _read_common(meta, response)
    return response


def encode_request_meta(request: RpcRequest, attachment_size: int) -> bytes:
    """The serialized meta of a request. ValueError, TypeError or AttributeError if a value does not
    fit its field."""
    meta = RpcMeta()
    fields = meta.request
    fields.service_name = request.service.encode()
    fields.method_name = request.method.encode()
    if request.log_id is not None:
        fields.log_id = request.log_id
    if request.request_id is not None:
        fields.request_id = request.request_id.encode("utf-8", "replace")
    if request.timeout_ms is not None:
        fields.timeout_ms = request.timeout_ms
    if request.trace_id is not None:
        fields.trace_id = request.trace_id
    if request.span_id is not None:
        fields.span_id = request.span_id
    if request.parent_span_id is not None:
        fields.parent_span_id = request.parent_span_id
    if request.credential is not None:
        meta.authentication_data = request.credential
    _write_common(meta, request, attachment_size)
    return meta.SerializeToString()  # type: ignore[no-any-return]


def encode_response_meta(response: RpcResponse, attachment_size: int) -> bytes:
    """The serialized meta of a response; errors as in `encode_request_meta`."""
    meta = RpcMeta()
    fields = meta.response
    fields.error_code = response.error_code
    if response.error_text:
        fields.error_text = response.error_text.encode("utf-8", "replace")
    _write_common(meta, response, attachment_size)
    return meta.SerializeToString()  # type: ignore[no-any-return]


def _read_common(meta: Meta, message: RpcRequest | RpcResponse) -> None:
    has = meta.HasField
    message.compress_type = meta.compress_type if has("compress_type") else None
    message.content_type = meta.content_type if has("content_type") else None
    message.checksum_type = meta.checksum_type if has("checksum_type") else None
    message.checksum_value = meta.checksum_value if has("checksum_value") else None
    if has("checksum_with_attachment"):
        message.checksum_with_attachment = meta.checksum_with_attachment
    if has("stream_settings"):
        message.stream_settings = _read_stream_settings(meta.stream_settings)
    if meta.user_fields:
        message.user_fields = {_data(f.key): _data(f.value) for f in meta.user_fields}


def _write_common(meta: Meta, message: RpcRequest | RpcResponse, attachment_size: int) -> None:
    meta.correlation_id = message.correlation_id
    if attachment_size:
        meta.attachment_size = attachment_size
    if message.compress_type is not None:
        meta.compress_type = message.compress_type
    if message.content_type is not None:
        meta.content_type = message.content_type
    if message.checksum_type is not None:
        meta.checksum_type = message.checksum_type
    if message.checksum_value is not None:
        meta.checksum_value = message.checksum_value
    if message.checksum_with_attachment is not None:
        meta.checksum_with_attachment = message.checksum_with_attachment
    if message.stream_settings is not None:
        _write_stream_settings(meta.stream_settings, message.stream_settings)
    if message.user_fields:
        for key, value in message.user_fields.items():
            meta.user_fields.add(key=_escaped(key), value=_escaped(value))


def _read_stream_settings(fields: Meta) -> StreamSettings:
    has = fields.HasField
    if not has("stream_id"):
        raise ProtocolError("stream_settings has no stream_id")
    return StreamSettings(
        fields.stream_id,
        fields.need_feedback if has("need_feedback") else None,
        fields.writable if has("writable") else None,
        tuple(fields.extra_stream_ids),
    )


def _write_stream_settings(fields: Meta, settings: StreamSettings) -> None:
    fields.stream_id = settings.stream_id
    if settings.need_feedback is not None:
        fields.need_feedback = settings.need_feedback
    if settings.writable is not None:
        fields.writable = settings.writable
    fields.extra_stream_ids.extend(settings.extra_stream_ids)


def _data(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _escaped(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
