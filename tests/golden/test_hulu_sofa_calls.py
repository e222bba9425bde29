"""Real calls over hulu_pbrpc and sofa_pbrpc, compared with recordings of C++ bRPC 1.17.

The requests of our client, the answers of our server, and our client with the answers of a C++
server.

Our bytes must be the recorded ones, except for the correlation id, which each client counts in its
own way, and the address in the text of an error. Compressed bodies are compared after
decompression, because compressors may choose the bytes.
"""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits, RpcProtocol
from pybrpc.protocols.registry import protocol_named
from pybrpc.rpc.compress import decompress
from pybrpc.testing.check_protocol import Sample, pack, parse_all
from tests.peers.callers import FORMS, caller
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.protos import conformance_pb2 as pb

VECTORS = Path(__file__).parent / "vectors"
HELLO = "hello from C++ brpc"
ZEES = "z" * 2000
ATTACHMENT = b"ATTACHMENT\x00\x01\x02"
CALLS = (
    "hulu_echo",
    "hulu_attach",
    "hulu_logid",
    "hulu_fail",
    "hulu_gzip",
    "sofa_echo",
    "sofa_fail",
    "sofa_gzip",
)
RECORDED_SERVER = "127.0.0.1:19791"
EACH_CALL = pytest.mark.parametrize("case", CALLS)


def recorded(case: str, role: str) -> bytes:
    return (VECTORS / f"{case}.{role}.bin").read_bytes()


def protocol_of(case: str) -> RpcProtocol:
    return protocol_named(f"{case.partition('_')[0]}_pbrpc")


def recorded_message(case: str, role: str, **changes: Any) -> Any:
    (message,) = parse_all(protocol_of(case), [recorded(case, role)])
    assert isinstance(message, RpcRequest | RpcResponse)
    return dataclasses.replace(message, **changes)


def unpacked(message: Sample) -> Sample:
    """`message` with its body decompressed."""
    if not message.compress_type:
        return message
    body = bytes(decompress(message.body, message.compress_type, len(ZEES) + 100))
    return dataclasses.replace(message, body=body)


def arguments(case: str) -> tuple[pb.EchoRequest, pybrpc.Controller]:
    """The arguments of the recorded C++ client."""
    request, controller = pb.EchoRequest(message=HELLO), pybrpc.Controller()
    if case.endswith("attach"):
        controller.request_attachment.append(ATTACHMENT)
    elif case.endswith("logid"):
        controller.log_id = 123456789
    elif case.endswith("fail"):
        request.fail_code, request.fail_text = 10042, "deliberate failure"
    elif case.endswith("gzip"):
        request.message = ZEES
        controller.request_compress_type = pybrpc.CompressType.GZIP
    return request, controller


@EACH_CALL
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timeout", [None, 30], ids=["no timeout", "30 s"])
def test_client_sends_the_same_bytes_as_cpp(case: str, form: str, timeout: float | None) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.wait_closed()

    protocol = protocol_of(case)
    request, controller = arguments(case)
    options = {"protocol": protocol.name, "timeout": timeout}
    with (
        ScriptedServer(script, protocol=protocol) as server,
        caller(form, server.address, **options) as client,
    ):
        assert client.call(request, controller=controller).message == request.message
    (sent,) = parse_all(protocol, [bytes(server.peers[0].received)])
    assert isinstance(sent, RpcRequest)
    wanted = recorded_message(case, "client", correlation_id=sent.correlation_id)
    if not case.endswith("gzip"):
        assert bytes(server.peers[0].received) == bytes(pack(protocol, wanted))
    assert unpacked(sent) == unpacked(wanted)


@pytest.mark.parametrize("case", ["hulu_echo", "sofa_echo"])
def test_client_without_a_controller_sends_the_same_bytes_as_cpp(case: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.wait_closed()

    protocol = protocol_of(case)
    with (
        ScriptedServer(script, protocol=protocol) as server,
        caller("blocking", server.address, protocol=protocol.name) as client,
    ):
        client.call(pb.EchoRequest(message=HELLO))
    (sent,) = server.requests
    wanted = recorded_message(case, "client", correlation_id=sent.correlation_id)
    assert bytes(server.peers[0].received) == bytes(pack(protocol, wanted))


@EACH_CALL
@pytest.mark.parametrize("form", FORMS)
def test_client_accepts_the_answers_of_cpp(case: str, form: str) -> None:
    protocol = protocol_of(case)

    def script(peer: Peer) -> None:
        number = peer.expect_request().correlation_id
        peer.send(bytes(pack(protocol, recorded_message(case, "server", correlation_id=number))))
        peer.wait_closed()

    request, controller = arguments(case)
    with (
        ScriptedServer(script, protocol=protocol) as server,
        caller(form, server.address, protocol=protocol.name) as client,
    ):
        if case.endswith("fail"):
            with pytest.raises(pybrpc.RpcError) as caught:
                client.call(request, controller=controller)
            assert caught.value.code == 10042
            text = f"[E10042][{RECORDED_SERVER}][E10042]deliberate failure"
            assert caught.value.text == controller.error_text == text
        else:
            answer = client.call(request, controller=controller)
            assert answer.message == request.message
            assert answer.log_id == (controller.log_id or 0)
            assert answer.attachment_bytes == len(controller.request_attachment)
    assert controller.response_attachment == controller.request_attachment
    assert controller.response_compress_type == (controller.request_compress_type or 0)


def exchange(address: str, protocol: RpcProtocol, pieces: list[bytes], count: int) -> list[bytes]:
    """Send the pieces one by one and receive exactly `count` frames."""
    host, _, port = address.partition(":")
    buffer, frames = IOBuf(), []
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        while len(frames) < count:
            before = bytes(buffer)
            if protocol.parse(buffer, ParseLimits()) is NEED_MORE:
                data = sock.recv(65536)
                assert data, "closed too early"
                buffer.append(data)
            else:
                frames.append(before[: len(before) - len(buffer)])
        sock.shutdown(socket.SHUT_WR)
        assert not buffer
        assert sock.recv(1) == b""
    return frames


def check_answer(case: str, frame: bytes, address: str, correlation_id: int | None = None) -> None:
    protocol = protocol_of(case)
    (answer,) = parse_all(protocol, [frame])
    assert isinstance(answer, RpcResponse)
    wanted = recorded_message(case, "server")
    wanted.error_text = wanted.error_text.replace(RECORDED_SERVER, address)
    if correlation_id is not None:
        wanted.correlation_id = correlation_id
    if not case.endswith("gzip"):
        assert frame == bytes(pack(protocol, wanted))
    assert unpacked(answer) == unpacked(wanted)


@EACH_CALL
@pytest.mark.parametrize("is_bytewise", [False, True], ids=["whole", "byte by byte"])
def test_server_sends_the_same_answers_as_cpp(case: str, is_bytewise: bool, address: str) -> None:
    frame = recorded(case, "client")
    pieces = [bytes([byte]) for byte in frame] if is_bytewise else [frame]
    (answer,) = exchange(address, protocol_of(case), pieces, 1)
    check_answer(case, answer, address)


@pytest.mark.parametrize("name", ["hulu", "sofa"])
def test_server_answers_each_of_several_pipelined_requests(name: str, address: str) -> None:
    protocol = protocol_of(name)
    cases = {}
    frames = []
    for number in range(1, 101):
        mine = [case for case in CALLS if case.startswith(name)]
        cases[number] = mine[number % len(mine)]
        message = recorded_message(cases[number], "client", correlation_id=number)
        frames.append(bytes(pack(protocol, message)))
    for answer in exchange(address, protocol, [b"".join(frames)], len(frames)):
        (message,) = parse_all(protocol, [answer])
        case = cases.pop(message.correlation_id)
        check_answer(case, answer, address, message.correlation_id)
    assert cases == {}
