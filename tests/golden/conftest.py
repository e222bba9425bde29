"""A pybrpc server that answers as the recorded C++ server did."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pybrpc
from pybrpc.iobuf import IOBuf
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb


class EchoService:
    """The handler of the recorded C++ server."""

    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        if request.fail_code:
            controller.set_failed(request.fail_code, request.fail_text)
        response = pb.EchoResponse(message=request.message)
        if controller.log_id is not None:
            response.log_id = controller.log_id
        if controller.request_id:
            response.request_id = controller.request_id
        response.attachment_bytes = len(controller.request_attachment)
        controller.response_attachment = IOBuf(bytes(controller.request_attachment))
        controller.response_compress_type = controller.request_compress_type
        controller.response_checksum_type = controller.request_checksum_type
        controller.response_checksum_attachment = controller.request_checksum_attachment
        return response

    Stream = Echo


class AsyncEchoService(EchoService):
    async def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        return EchoService.Echo(self, request, controller)

    Stream = Echo


@pytest.fixture(params=[EchoService, AsyncEchoService])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the server."""
    server = pybrpc.Server()
    server.add_service(ECHO, request.param())
    with server:
        yield str(server.start("127.0.0.1:0"))
