"""SofaPbrpc: parses frames of sofa_pbrpc to messages, and packs messages to frames.

    "SOFA" | meta_size: u32 | body_size: u64 | message_size: u64 | meta | body     little-endian

`message_size` is the sum of the two others. Source: bRPC's
src/brpc/policy/sofa_pbrpc_protocol.cpp. There is no place for an attachment, a credential, a log
id, a timeout or user fields. The correlation id is `sequence_id`, which is unsigned.
"""

from __future__ import annotations

import struct
from typing import Any

from pybrpc.errors import ErrorCode, ProtocolError
from pybrpc.protocols.framed import (
    FramedProtocol,
    Head,
    is_bare_request,
    is_bare_response,
    refuse_fields,
    text_of,
)
from pybrpc.protocols.message import RpcRequest, RpcResponse, new_request, new_response
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.sofa.schema import REQUEST, RESPONSE, SofaRpcMeta

_HEADER = struct.Struct("<4sIQQ")

_NUMBERS = {0: 0, 1: 3, 2: 1, 3: 2, 4: 4}
"""sofa_pbrpc's number of each CompressType."""
_COMPRESS_TYPES = {number: kind for kind, number in _NUMBERS.items()}

_NO_PLACE = ("attachment", "user_fields", "stream_settings", "content_type", "checksum_type")
_NO_PLACE_IN_REQUEST = (
    "credential",
    "log_id",
    "request_id",
    "trace_id",
    "span_id",
    "parent_span_id",
    *_NO_PLACE,
)

_EINTERNAL = int(ErrorCode.EINTERNAL)


class SofaPbrpc(FramedProtocol):
    """The protocol sofa_pbrpc. It has no state; one object serves all connections and threads."""

    __slots__ = ()

    magic = b"SOFA"
    header_size = _HEADER.size
    carries_credential = False

    @property
    def name(self) -> str:
        return "sofa_pbrpc"

    def sizes_of(self, header: bytes) -> tuple[int, int] | Broken:
        _, meta_size, body_size, message_size = _HEADER.unpack(header)
        if message_size != meta_size + body_size:
            return Broken(
                f"message_size={message_size} is not meta_size={meta_size} + body_size={body_size}"
            )
        return meta_size, body_size

    def pack_header(self, meta_size: int, payload_size: int) -> bytes:
        return _HEADER.pack(self.magic, meta_size, payload_size, meta_size + payload_size)

    def decode_meta(self, meta: bytes) -> Head:
        decoded = SofaRpcMeta.FromString(meta)
        if not (decoded.HasField("type") and decoded.HasField("sequence_id")):
            raise ProtocolError("the meta has no type or no sequence_id")
        if decoded.type == REQUEST:
            return _request_of(decoded)
        if decoded.type == RESPONSE:
            return _response_of(decoded)
        raise ProtocolError(f"type={decoded.type} is neither a request nor a response")

    def encode_request(self, request: RpcRequest, attachment_size: int) -> bytes:
        if not is_bare_request(request):
            refuse_fields(self.name, request, _NO_PLACE_IN_REQUEST)
        meta = SofaRpcMeta(
            type=REQUEST,
            sequence_id=request.correlation_id,
            method=_full_name(request.service, request.method).encode(),
            compress_type=_number_of(request.compress_type),
        )
        encoded: bytes = meta.SerializeToString()
        return encoded

    def encode_response(self, response: RpcResponse, attachment_size: int) -> bytes:
        if not (response.error_code or is_bare_response(response)):
            # An error goes without them: it is worth more than they are.
            refuse_fields(self.name, response, _NO_PLACE)
        meta = SofaRpcMeta(
            type=RESPONSE,
            sequence_id=response.correlation_id,
            failed=response.error_code != 0,
            error_code=response.error_code,
            compress_type=_number_of(response.compress_type),
        )
        if response.error_text:
            meta.reason = response.error_text.encode("utf-8", "replace")
        encoded: bytes = meta.SerializeToString()
        return encoded


def _request_of(meta: Any) -> Head:
    service, _, method = text_of(meta.method).rpartition(".")
    request = new_request(meta.sequence_id, service, method, None, b"")
    request.compress_type = _compress_type_of(meta)
    return request, None


def _response_of(meta: Any) -> Head:
    """A server of sofa-pbrpc itself may say `failed` without an `error_code`."""
    code = meta.error_code or (_EINTERNAL if meta.failed else 0)
    response = new_response(meta.sequence_id, b"")
    response.error_code = code
    response.error_text = text_of(meta.reason)
    response.compress_type = _compress_type_of(meta)
    return response, None


def _full_name(service: str, method: str) -> str:
    return service + "." + method if service else method


def _compress_type_of(meta: Any) -> int | None:
    """A number that sofa_pbrpc does not have is none of CompressType either: the code that
    decompresses the body refuses it."""
    if not meta.HasField("compress_type"):
        return None
    number: int = meta.compress_type
    return _COMPRESS_TYPES.get(number, number)


def _number_of(compress_type: int | None) -> int | None:
    if compress_type is None:
        return None
    number = _NUMBERS.get(compress_type)
    if number is None:
        raise ValueError(f"sofa_pbrpc has no number for compress_type={compress_type}")
    return number
