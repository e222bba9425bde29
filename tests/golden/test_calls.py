"""Real calls against recordings of C++ bRPC 1.17: what our client sends, what our server answers,
and what our client makes of a C++ server's answers.

Our bytes are the recorded ones but for the fields that a test names:

correlation_id   the caller's own choice; C++ makes it of a versioned id, we count
timeout_ms       how long we will wait; C++ says it only with a flag that is off by default
error_text       names the address of the server that failed the call
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE, pack_header, unpack_header
from pybrpc.protocols.baidu_std.meta import Meta, decode_meta
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.protos import conformance_pb2 as pb

VECTORS = Path(__file__).parent / "vectors"
HELLO = "hello from C++ brpc"
CALLS = ("echo", "attach", "logid", "fail")
RECORDED_SERVER = "127.0.0.1:9600"


def recorded(case: str, role: str) -> bytes:
    return (VECTORS / f"baidu_std_{case}.{role}.bin").read_bytes()


def split(frame: bytes) -> tuple[Meta, bytes]:
    """The meta of one frame, and what follows it."""
    _, body_size, meta_size = unpack_header(frame[:HEADER_SIZE])
    assert len(frame) == HEADER_SIZE + body_size
    return decode_meta(frame[HEADER_SIZE:][:meta_size]), frame[HEADER_SIZE + meta_size :]


def changed(frame: bytes, **fields: Any) -> bytes:
    """A recorded frame with these fields of its meta different, and nothing else."""
    meta, rest = split(frame)
    for name, value in fields.items():
        part, _, field = name.rpartition("__")
        setattr(getattr(meta, part) if part else meta, field, value)
    packed = meta.SerializeToString()
    return bytes(pack_header(len(packed) + len(rest), len(packed)) + packed + rest)


def arguments(case: str) -> tuple[pb.EchoRequest, pybrpc.Controller]:
    """What the recorded C++ client called with."""
    request = pb.EchoRequest(message=HELLO)
    controller = pybrpc.Controller()
    if case == "attach":
        controller.request_attachment.append(b"ATTACHMENT\x00\x01\x02")
    elif case == "logid":
        controller.log_id, controller.request_id = 123456789, "req-42"
    elif case == "fail":
        request.fail_code, request.fail_text = 10042, "deliberate failure"
    return request, controller


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_recording_with_nothing_changed_is_itself(case: str, role: str) -> None:
    assert changed(recorded(case, role)) == recorded(case, role)


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timeout", [None, 30], ids=["no timeout", "30 s"])
def test_client_sends_what_cpp_sends(case: str, form: str, timeout: float | None) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.wait_closed()

    request, controller = arguments(case)
    with ScriptedServer(script) as server, caller(form, server.address) as client:
        client.call(request, controller=controller, timeout=timeout)
    sent = bytes(server.peers[0].received)
    differences = {"correlation_id": split(sent)[0].correlation_id}
    if timeout is not None:
        differences["request__timeout_ms"] = 30_000
    assert sent == changed(recorded(case, "client"), **differences)


def printed(case: str) -> dict[str, str]:
    """What the C++ client printed of the call."""
    (entry,) = [
        entry
        for entry in json.loads((VECTORS / "manifest.json").read_text())
        if entry["case"] == f"baidu_std_{case}"
    ]
    found = re.search(
        r"failed=(?P<failed>\d) code=(?P<code>\d+) text=\[(?P<text>.*)\] msg=(?P<message>.*)"
        r" len=\d+ log_id=(?P<log_id>\d+) req=(?P<request_id>\S*) att=(?P<attachment>\d+) lat",
        entry["client_prints"],
    )
    assert found is not None
    return found.groupdict()


@pytest.mark.parametrize("case", [*CALLS, "noauth"])
@pytest.mark.parametrize("form", FORMS)
def test_client_takes_the_answers_of_cpp_as_cpp_does(case: str, form: str) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        peer.send(changed(recorded(case, "server"), correlation_id=request.correlation_id))
        peer.wait_closed()

    request, controller = arguments(case)
    expected = printed(case)
    response = pb.EchoResponse(message="")
    with ScriptedServer(script) as server, caller(form, server.address) as client:
        if expected["failed"] == "0":
            response = client.call(request, controller=controller)
        else:
            with pytest.raises(pybrpc.RpcError) as caught:
                client.call(request, controller=controller)
            assert str(caught.value.code) == expected["code"]
            assert caught.value.text == expected["text"]
    assert {
        "failed": str(int(controller.failed)),
        "code": str(controller.error_code),
        "text": controller.error_text,
        "message": response.message,
        "log_id": str(response.log_id),
        "request_id": response.request_id,
        "attachment": str(len(controller.response_attachment)),
    } == expected


class EchoService:
    """As the handler of the C++ server that was recorded."""

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
        return response

    Stream = Echo


class AsyncEchoService(EchoService):
    async def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        return EchoService.Echo(self, request, controller)

    Stream = Echo


@pytest.fixture(params=[EchoService, AsyncEchoService])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a real server of ours."""
    server = pybrpc.Server()
    server.add_service(ECHO, request.param())
    with server:
        yield str(server.start("127.0.0.1:0"))


def exchange(address: str, pieces: list[bytes], size: int) -> bytes:
    """Send the pieces one by one; the first `size` bytes of what comes back, and no more come."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        received = b""
        while len(received) < size and (data := sock.recv(65536)):
            received += data
        sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(65536):
            received += data
    return received


def expected_answer(case: str, address: str) -> bytes:
    frame = recorded(case, "server")
    text = split(frame)[0].response.error_text
    if not text:
        return frame
    here = text.replace(RECORDED_SERVER.encode(), address.encode())
    assert here != text
    return changed(frame, response__error_text=here)


@pytest.mark.parametrize("case", [*CALLS, "auth"])
@pytest.mark.parametrize("is_bytewise", [False, True], ids=["whole", "byte by byte"])
def test_server_answers_what_cpp_answers(case: str, is_bytewise: bool, address: str) -> None:
    frame = recorded(case, "client")
    pieces = [bytes([byte]) for byte in frame] if is_bytewise else [frame]
    expected = expected_answer(case, address)
    assert exchange(address, pieces, len(expected)) == expected


def test_server_answers_pipelined_requests_each_with_its_own(address: str) -> None:
    frames, answers = [], []
    for number in range(1, 101):
        case = CALLS[number % len(CALLS)]
        frames.append(changed(recorded(case, "client"), correlation_id=number))
        answers.append(changed(expected_answer(case, address), correlation_id=number))
    received = exchange(address, [b"".join(frames)], sum(map(len, answers)))
    found = []
    while received:
        size = HEADER_SIZE + unpack_header(received[:HEADER_SIZE])[1]
        found.append(received[:size])
        received = received[size:]
    assert sorted(found) == sorted(answers)
