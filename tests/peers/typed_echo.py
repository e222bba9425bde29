"""Stubs and a service with types, as protoc-gen-pybrpc makes them for the service of `raw_peer`."""

from __future__ import annotations

from typing import Any

import pybrpc
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse


class EchoServiceStub(pybrpc.TypedStub):
    SERVICE = SERVICE

    Echo: pybrpc.TypedMethod[Any, Any]
    Stream: pybrpc.TypedMethod[Any, Any]


class EchoServiceAioStub(pybrpc.aio.TypedStub):
    SERVICE = SERVICE

    Echo: pybrpc.aio.TypedMethod[Any, Any]
    Stream: pybrpc.aio.TypedMethod[Any, Any]


class EchoServiceBase(pybrpc.TypedService):
    SERVICE = SERVICE

    def Echo(self, request: Any, controller: pybrpc.Controller, /) -> Any:
        raise NotImplementedError

    def Stream(self, request: Any, controller: pybrpc.Controller, /) -> Any:
        raise NotImplementedError


class TypedEcho(EchoServiceBase):
    """It has one of the two methods."""

    def Echo(self, request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        return EchoResponse(message=request.message)


NAMES = {
    "EchoRequest": EchoRequest,
    "EchoResponse": EchoResponse,
    "EchoService": TypedEcho,
    "EchoServiceAioStub": EchoServiceAioStub,
    "EchoServiceBase": EchoServiceBase,
    "EchoServiceStub": EchoServiceStub,
    "SERVICE": SERVICE,
}
"""Names that a page with generated code uses."""
