"""The service that tests call, and the messages they call it with."""

from __future__ import annotations

from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.rpc.body import MessageType, parse_request
from tests.protos import conformance_pb2 as pb

ECHO = pb.DESCRIPTOR.services_by_name["EchoService"]
REQUEST_TYPE = MessageType(pb.EchoRequest)
RESPONSE_TYPE = MessageType(pb.EchoResponse)


def echo_request(message: str = "hello", **fields: object) -> pb.EchoRequest:
    return pb.EchoRequest(message=message, **fields)


def echo_body(request: RpcRequest) -> bytes:
    """The serialized response to a request: its message again."""
    message = parse_request(request, REQUEST_TYPE)
    assert isinstance(message, pb.EchoRequest)
    return pb.EchoResponse(message=message.message).SerializeToString()


def echo_frame(request: RpcRequest, protocol: RpcProtocol = BAIDU_STD, **fields: object) -> bytes:
    """The frame that answers a request with an echo of message and attachment.

    `fields` are those of RpcResponse that shall be different.
    """
    values: dict[str, object] = {
        "correlation_id": request.correlation_id,
        "body": echo_body(request),
        "attachment": request.attachment,
    }
    return bytes(protocol.pack_response(RpcResponse(**(values | fields))))  # type: ignore[arg-type]
