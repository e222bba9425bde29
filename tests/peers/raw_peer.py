"""RawPeer: a blocking client over a plain socket, which speaks baidu_std unless told otherwise."""

from __future__ import annotations

import socket
import struct
from typing import Any, Self

from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits, RpcProtocol
from tests.protos import conformance_pb2

SERVICE = conformance_pb2.DESCRIPTOR.services_by_name["EchoService"]
EchoRequest: Any = conformance_pb2.EchoRequest
EchoResponse: Any = conformance_pb2.EchoResponse


def request(correlation_id: int, method: str = "Echo", **fields: Any) -> RpcRequest:
    """A request of EchoService; `fields` override those of RpcRequest."""
    message = fields.pop("message", "hello")
    body = fields.pop("body", EchoRequest(message=message).SerializeToString())
    service = fields.pop("service", SERVICE.full_name)
    return RpcRequest(correlation_id, service, method, body, **fields)


def packed(*requests: RpcRequest, protocol: RpcProtocol = BAIDU_STD) -> bytes:
    return b"".join(bytes(protocol.pack_request(each)) for each in requests)


class RawPeer:
    def __init__(
        self,
        endpoint: Endpoint,
        receive_buffer_bytes: int | None = None,
        protocol: RpcProtocol = BAIDU_STD,
    ) -> None:
        """A small `receive_buffer_bytes` fills soon when the test does not read."""
        self.sock = socket.socket()
        self.sock.settimeout(30)
        if receive_buffer_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            self.sock.connect((endpoint.host, endpoint.port))
        except OSError:
            self.sock.close()
            raise
        self.received = IOBuf()
        self.protocol = protocol

    def send(self, *requests: RpcRequest) -> None:
        self.sock.sendall(packed(*requests, protocol=self.protocol))

    def read_answer(self) -> RpcResponse:
        """The next answer; ConnectionError if the server closes before."""
        while (message := self.protocol.parse(self.received, ParseLimits())) is NEED_MORE:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("EOF")
            self.received.append(data)
        assert isinstance(message, RpcResponse)
        return message

    def read_answers(self, count: int) -> dict[int, RpcResponse]:
        """By correlation id."""
        answers = [self.read_answer() for _ in range(count)]
        return {answer.correlation_id: answer for answer in answers}

    def call(self, method: str = "Echo", **fields: Any) -> RpcResponse:
        self.send(request(1, method, **fields))
        return self.read_answer()

    def read_to_end(self) -> bytes:
        """All that the server still sends before it closes."""
        parts = [self.received.peek()]
        self.received.clear()
        while part := self.sock.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def shut_writing(self) -> None:
        """Send no more; go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def text_of(answer: RpcResponse) -> str:
    """The message of a successful echo."""
    assert answer.error_code == 0, answer.error_text
    return str(EchoResponse.FromString(bytes(answer.body)).message)
