"""Protocols of lines of text, as a user may write them: one with correlation ids, one without."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits, ParseOutcome
from pybrpc.protocols.rpc_protocol_base import RpcProtocolBase
from pybrpc.protocols.traits import Detection, detection_by_magic


def cut_line(buffer: IOBuf, limits: ParseLimits) -> bytes | Broken | None:
    line = buffer.cut_until(b"\n")
    if (len(buffer) if line is None else len(line)) > limits.max_body_size:
        return Broken(f"a line is longer than max_body_size={limits.max_body_size}")
    return None if line is None else bytes(line)


class JsonLines(RpcProtocolBase):
    """{"id": 1, "method": "a.Service.Method", "body": "..."} and {"id": 1, "body": "..."}"""

    magic = b'{"'

    @property
    def name(self) -> str:
        return "json_lines"

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        start = buffer.peek(2)
        if not self.magic.startswith(start):
            return NOT_MINE
        line = cut_line(buffer, limits)
        if line is None:
            return NEED_MORE
        if isinstance(line, Broken):
            return line
        try:
            return message_of(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return Broken(f"no message: {error!r:.100}")

    def pack_request(self, request: RpcRequest) -> IOBuf:
        method = f"{request.service}.{request.method}"
        body = base64.b64encode(request.body).decode()
        return packed({"id": request.correlation_id, "method": method, "body": body})

    def pack_response(self, response: RpcResponse) -> IOBuf:
        number = response.correlation_id
        if response.error_code:
            error = [response.error_code, response.error_text]
            return packed({"id": number, "error": error})
        return packed({"id": number, "body": base64.b64encode(response.body).decode()})


def packed(fields: dict[str, Any]) -> IOBuf:
    return IOBuf(json.dumps(fields).encode() + b"\n")


def message_of(fields: dict[str, Any]) -> RpcRequest | RpcResponse:
    number = int(fields["id"])
    if "error" in fields:
        code, text = fields["error"]
        return RpcResponse(number, int(code), str(text))
    body = base64.b64decode(fields["body"], validate=True)
    if "method" not in fields:
        return RpcResponse(number, body=body)
    service, _, method = fields["method"].rpartition(".")
    return RpcRequest(number, service, method, body)


class PlainLines(RpcProtocolBase):
    """ "CALL a.Service.Method body", answered by "OK body" or "NO code text". No ids."""

    is_ordered = True
    alpn = ("plain-lines",)

    @property
    def name(self) -> str:
        return "plain_lines"

    def detect(self, first: bytes) -> Detection:
        return detection_by_magic(b"CALL ", first)

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        start = buffer.peek(5)
        if not any(start[: len(each)] == each[: len(start)] for each in (b"CALL ", b"OK ", b"NO ")):
            return NOT_MINE
        line = cut_line(buffer, limits)
        if line is None:
            return NEED_MORE
        if isinstance(line, Broken):
            return line
        try:
            word, first, *rest = line.rstrip(b"\n").decode().split(" ", 2)
            if word == "CALL":
                service, _, method = first.rpartition(".")
                return RpcRequest(0, service, method, base64.b64decode(rest[0], validate=True))
            if word == "OK":
                return RpcResponse(0, body=base64.b64decode(first, validate=True))
            return RpcResponse(0, int(first), rest[0])
        except (ValueError, IndexError, binascii.Error) as error:
            return Broken(f"no message: {error!r:.100}")

    def pack_request(self, request: RpcRequest) -> IOBuf:
        body = base64.b64encode(request.body).decode()
        return IOBuf(f"CALL {request.service}.{request.method} {body}\n".encode())

    def pack_response(self, response: RpcResponse) -> IOBuf:
        if response.error_code:
            text = response.error_text.replace("\n", " ")
            return IOBuf(f"NO {response.error_code} {text}\n".encode())
        return IOBuf(b"OK " + base64.b64encode(response.body) + b"\n")


JSON_LINES = JsonLines()
PLAIN_LINES = PlainLines()
