"""A server for commands: it echoes, fails, and streams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pybrpc
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb


class CliService:
    """Echo answers message and attachment; "fail" fails; Stream accepts a stream and echoes it."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.message == "fail":
            controller.set_failed(5001, "as it was \x1b[31masked to")
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message, log_id=controller.log_id)

    def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
        body = {"close": close_soon, "push": push}.get(request.message, echo_all)
        controller.accept_stream(body=body)
        return pb.EchoResponse(message="welcome")


def echo_all(stream: Any) -> None:
    for message in stream:
        stream.send(message)


def close_soon(stream: Any) -> None:
    stream.send(b"bye")


def push(stream: Any) -> None:
    """Messages that are no text, and one of protobuf."""
    stream.send(b"\xff\x1b")
    stream.recv()


@contextlib.contextmanager
def cli_server(**options: Any) -> Iterator[str]:
    """The address of a server that shows its pages to this machine."""
    with pybrpc.Server(builtin_allow=["127.0.0.0/8"], **options) as server:
        server.add_service(ECHO, CliService())
        yield str(server.start("127.0.0.1:0"))
