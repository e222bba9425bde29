"""An echo service over TLS: servers, channels to them, calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcError
from tests.peers.echo import ECHO, echo_request
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb


class Echo:
    """Echoes message and attachment; keeps what it saw of TLS."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        self.seen.append(controller.tls)
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class AsyncEcho(Echo):
    async def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        return super().Echo(request, controller)

    Stream = Echo


def make_server(service: Echo | None = None, **options: Any) -> pybrpc.Server:
    server = pybrpc.Server(**{"tls": certificates().server_tls(), **options})
    server.add_service(ECHO, service or Echo())
    return server


@contextlib.contextmanager
def serving(service: Echo | None = None, **options: Any) -> Iterator[tuple[pybrpc.Server, str]]:
    """A running server, and its address."""
    with make_server(service, **options) as server:
        yield server, str(server.start("127.0.0.1:0"))


def channel_to(address: str, **options: Any) -> pybrpc.Channel:
    options = {"tls": certificates().client_tls(), "timeout": 30, "connect_timeout": 30, **options}
    return pybrpc.Channel(address, **options)


def call(channel: pybrpc.Channel, message: str = "hello") -> str:
    return str(pybrpc.Stub(ECHO, channel).Echo(echo_request(message)).message)


def error_of_a_call(address: str, **options: Any) -> RpcError:
    with channel_to(address, **options) as channel:
        with pytest.raises(RpcError) as caught:
            call(channel)
    return caught.value
