"""Requests of bare sockets as the parser reads them; responses that are not as expected."""

from __future__ import annotations

import socket

import pytest

from bench.echo_messages import SERVICE, EchoRequest
from bench.peers.baidu_socket import (
    LEAST_ID,
    MOST_ID,
    receive_response,
    request_around_id,
    varint,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import ParseLimits

FRAME = b"PRPC\x00\x00\x00\x05\x00\x00\x00\x02hello"


@pytest.mark.parametrize("number", [LEAST_ID, 54321, MOST_ID - 1])
@pytest.mark.parametrize("payload", [b"", b"x" * 32, b"x" * 100_000])
def test_request_is_one_of_baidu_std(number: int, payload: bytes) -> None:
    start, end = request_around_id(payload, 1000)
    buffer = IOBuf()
    buffer.append(start + varint(number) + end)
    request = BAIDU_STD.parse(buffer, ParseLimits())
    assert isinstance(request, RpcRequest)
    assert (request.service, request.method) == (SERVICE.full_name, "Echo")
    assert request.correlation_id == number
    assert EchoRequest.FromString(bytes(request.body)) == EchoRequest(
        payload=payload, sleep_us=1000
    )


def receive(*parts: bytes) -> bytes:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for part in parts:
            theirs.send(part)
        theirs.shutdown(socket.SHUT_WR)
        return receive_response(ours)


def test_response_in_parts_is_read_whole() -> None:
    assert receive(FRAME) == FRAME
    assert receive(FRAME[:5], FRAME[5:12], FRAME[12:]) == FRAME


def test_bytes_after_a_response_are_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        receive(FRAME + b"abc")


def test_end_within_a_response_is_an_end() -> None:
    with pytest.raises(EOFError):
        receive(FRAME[:-1])
