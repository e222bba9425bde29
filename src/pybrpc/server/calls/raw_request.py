"""RawRequest: a request as the handler of a generic service gets it."""

from __future__ import annotations

import dataclasses

from pybrpc.protocols.message import RpcRequest
from pybrpc.rpc.raw_body import parse_raw_request

MAX_NAME = 256
"""Longest name of a method that is shown in logs, in characters: a peer has chosen it."""

NO_SERVICE = "HTTP"
"""The service of requests of HTTP that mean no method, in traces."""


@dataclasses.dataclass(frozen=True, slots=True)
class RawRequest:
    """A request of a method that no service of the server has.

    service       full name; of a request of hulu_pbrpc, the short one
    method        name; "" if a request of hulu_pbrpc has its place alone
    body          the bytes as they came, compressed if `controller.request_compress_type` says so
    method_index  place of the method in its service, from 0 on, in a request of hulu_pbrpc
    """

    service: str
    method: str
    body: bytes
    method_index: int | None = None


def raw_request_of(request: RpcRequest) -> RawRequest:
    """BadRequestError if the checksum is wrong."""
    body = parse_raw_request(request)
    return RawRequest(request.service, request.method, body, request.method_index)


def called_name(request: RpcRequest) -> str:
    """The full name of the method that `request` asks for, cut if it is long."""
    method = request.method
    if not method and request.method_index is not None:
        method = str(request.method_index)
    name = f"{request.service}.{method}"
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
