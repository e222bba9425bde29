"""Calls over HTTP: the requests of a stub are byte for byte those that C++ bRPC 1.17 has sent, and
its responses are read. Host and the compressed bytes differ."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcError
from tests.peers.echo import ECHO, echo_request
from tests.peers.http_scripts import HttpPeer, http_script, http_server

VECTORS = Path(__file__).parent / "vectors"
HELLO = "hello from C++ brpc"
HOST = re.compile(rb"Host: [^\r]*")


def recorded(case: str, side: str) -> bytes:
    return (VECTORS / f"http_{case}.{side}.bin").read_bytes()


def call(case: str, message: str = HELLO, **options: Any) -> tuple[bytes, Any]:
    """The bytes of a request, and what the recorded response of C++ becomes."""
    sent: list[bytes] = []
    expected = len(recorded(case, "client")) + 100

    def serve(peer: HttpPeer) -> None:
        while b"\r\n\r\n" not in b"".join(sent):
            sent.append(peer.peer.sock.recv(expected))
        peer.send(recorded(case, "server"))
        peer.peer.wait_closed()

    controller = pybrpc.Controller()
    if case == "logid":
        controller.log_id, controller.request_id = 123456789, "req-42"
    with (
        http_server(http_script(serve)) as server,
        pybrpc.Channel(server.address, protocol="http", timeout=30, **options) as channel,
    ):
        try:
            result: Any = pybrpc.Stub(ECHO, channel).Echo(
                echo_request(message), controller=controller
            )
        except RpcError as error:
            result = error
    return HOST.sub(b"Host: h", b"".join(sent)), result


@pytest.mark.parametrize("case", ["echo", "logid"])
def test_request_and_response(case: str) -> None:
    sent, reply = call(case)
    assert sent == HOST.sub(b"Host: h", recorded(case, "client"))
    assert HELLO in reply.message


def test_compressed_request_and_response() -> None:
    message = re.search(rb'"message":"(.*)"', gzip.decompress(body_of("gzip"))) or [b"", b""]
    sent, reply = call("gzip", message[1].decode(), compress_type=pybrpc.CompressType.GZIP)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert gzip.decompress(body) == gzip.decompress(body_of("gzip"))
    assert b"\r\nContent-Encoding: gzip" in head
    assert reply.message


def body_of(case: str) -> bytes:
    return recorded(case, "client").partition(b"\r\n\r\n")[2]


def test_failed_call() -> None:
    _, error = call("fail")
    code = re.search(rb"x-bd-error-code: (\d+)", recorded("fail", "server"))
    assert code is not None
    assert isinstance(error, RpcError)
    assert error.code == int(code[1])
    assert error.is_remote
