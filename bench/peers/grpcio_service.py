"""The service code that grpcio's plugin for protoc would generate."""

from __future__ import annotations

from typing import Any

import grpc

from bench.echo_messages import METHOD_PATH, PACKAGE, EchoRequest, EchoResponse

SERVER_OPTIONS = (
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)
"""From the 1000 that are the default on, it cancels requests at random."""


def echo_handlers(behaviour: Any) -> grpc.GenericRpcHandler:
    """The handlers that a generated add_EchoServiceServicer_to_server registers."""
    method = grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=EchoRequest.FromString,
        response_serializer=EchoResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(f"{PACKAGE}.EchoService", {"Echo": method})


def echo_stub(channel: Any) -> Any:
    """The callable that a generated EchoServiceStub has as its Echo."""
    return channel.unary_unary(
        METHOD_PATH,
        request_serializer=EchoRequest.SerializeToString,
        response_deserializer=EchoResponse.FromString,
    )
