"""HuluPbrpc: parses frames of hulu_pbrpc to messages, and packs messages to frames.

    "HULU" | body_size: u32 | meta_size: u32 | meta | body | attachment     little-endian

`body_size` is the size of everything after the header, `meta_size` that of the meta alone. Source:
bRPC's src/brpc/policy/hulu_pbrpc_protocol.cpp. Four things are hulu's own:

- A request names its service without the package, and its method by `method_index`, the place of
  the method in the service, or by `method_name`. C++ clients send the index alone; C++ servers look
  at nothing else. So the index is sent if it is known. If only a name is known, the index is -1,
  which no method has.
- `user_message_size` is the size of the body, and is there only if an attachment follows.
- Metas of requests and responses are different messages, and no field says which one it is. A
  request begins with its service, field 1, as bytes; field 1 of a response is its error code, a
  number.
- The correlation id is int64 in a request, and sint64 in the response.

The numbers of `compress_type` are those of CompressType.
"""

from __future__ import annotations

import struct
from typing import Any

from pybrpc.errors import ProtocolError
from pybrpc.protocols.framed import (
    FramedProtocol,
    Head,
    field_of,
    is_bare_request,
    is_bare_response,
    refuse_fields,
    text_of,
)
from pybrpc.protocols.hulu.schema import HuluRpcRequestMeta, HuluRpcResponseMeta
from pybrpc.protocols.message import RpcRequest, RpcResponse, new_request, new_response
from pybrpc.protocols.protocol import Broken

NO_INDEX = -1
"""The `method_index` of a request whose method has only a name."""

HIGHEST_COMPRESS_TYPE = 3

_HEADER = struct.Struct("<4sII")
_ERROR_CODE_TAG = b"\x08"
"""The first byte of the metas of responses that C++ sends."""

_NO_PLACE = ("user_fields", "stream_settings", "content_type", "checksum_type")
_NO_PLACE_IN_REQUEST = ("request_id", *_NO_PLACE)


class HuluPbrpc(FramedProtocol):
    """The protocol hulu_pbrpc. It has no state; one object serves all connections and threads."""

    __slots__ = ()

    magic = b"HULU"
    header_size = _HEADER.size
    sends_method_index = True
    carries_trace = True

    @property
    def name(self) -> str:
        return "hulu_pbrpc"

    def sizes_of(self, header: bytes) -> tuple[int, int] | Broken:
        _, body_size, meta_size = _HEADER.unpack(header)
        if meta_size > body_size:
            return Broken(f"meta_size={meta_size} is bigger than body_size={body_size}")
        return meta_size, body_size - meta_size

    def pack_header(self, meta_size: int, payload_size: int) -> bytes:
        return _HEADER.pack(self.magic, meta_size + payload_size, meta_size)

    def decode_meta(self, meta: bytes) -> Head:
        if not meta.startswith(_ERROR_CODE_TAG):
            asked = HuluRpcRequestMeta.FromString(meta)
            if asked.HasField("service_name"):
                return _request_of(asked)
        return _response_of(HuluRpcResponseMeta.FromString(meta))

    def encode_request(self, request: RpcRequest, attachment_size: int) -> bytes:
        is_bare = is_bare_request(request)
        if not is_bare:
            refuse_fields(self.name, request, _NO_PLACE_IN_REQUEST)
        meta = HuluRpcRequestMeta(
            service_name=request.service.rpartition(".")[2].encode(),
            compress_type=_checked_compress_type(request.compress_type),
            correlation_id=request.correlation_id,
        )
        if not is_bare:
            _add_ids(meta, request)
        if request.method_index is not None:
            meta.method_index = request.method_index
        else:
            meta.method_index = NO_INDEX
            meta.method_name = request.method.encode()
        if attachment_size:
            meta.user_message_size = memoryview(request.body).nbytes
        encoded: bytes = meta.SerializeToString()
        return encoded

    def encode_response(self, response: RpcResponse, attachment_size: int) -> bytes:
        if not (response.error_code or is_bare_response(response)):
            # An error goes without them: it is worth more than they are.
            refuse_fields(self.name, response, _NO_PLACE)
        meta = HuluRpcResponseMeta(
            error_code=response.error_code,
            correlation_id=response.correlation_id,
            compress_type=_checked_compress_type(response.compress_type),
        )
        if response.error_text:
            meta.error_text = response.error_text.encode("utf-8", "replace")
        if attachment_size:
            meta.user_message_size = memoryview(response.body).nbytes
        encoded: bytes = meta.SerializeToString()
        return encoded


def _add_ids(meta: Any, request: RpcRequest) -> None:
    if request.log_id is not None:
        meta.log_id = request.log_id
    if request.trace_id is not None:
        meta.trace_id = request.trace_id
    if request.parent_span_id is not None:
        meta.parent_span_id = request.parent_span_id
    if request.span_id is not None:
        meta.span_id = request.span_id
    if request.credential is not None:
        meta.credential_data = request.credential


def _request_of(meta: Any) -> Head:
    service, method = text_of(meta.service_name), text_of(meta.method_name)
    request = new_request(meta.correlation_id, service, method, None, b"")
    has = meta.HasField
    index = meta.method_index if has("method_index") else None
    has_name = bool(method) or has("method_name")
    if index is None and not has_name:
        raise ProtocolError("request has neither a method_index nor a method_name")
    if index != NO_INDEX or not has_name:
        request.method_index = index
    request.compress_type = field_of(meta, "compress_type")
    if has("log_id"):
        request.log_id = meta.log_id
    if has("trace_id"):
        request.trace_id = meta.trace_id
    if has("parent_span_id"):
        request.parent_span_id = meta.parent_span_id
    if has("span_id"):
        request.span_id = meta.span_id
    if has("credential_data"):
        request.credential = meta.credential_data
    return request, field_of(meta, "user_message_size")


def _response_of(meta: Any) -> Head:
    response = new_response(meta.correlation_id, b"")
    response.error_code = meta.error_code
    response.error_text = text_of(meta.error_text)
    response.compress_type = field_of(meta, "compress_type")
    return response, field_of(meta, "user_message_size")


def _checked_compress_type(number: int | None) -> int | None:
    if number is not None and not 0 <= number <= HIGHEST_COMPRESS_TYPE:
        raise ValueError(f"hulu_pbrpc has no number for compress_type={number}")
    return number
