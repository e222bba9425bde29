"""Real calls compared with recordings of C++ bRPC 1.17: the requests of our client, the answers of
our server, and our client with the answers of a C++ server.

Our bytes must be the recorded ones except for the fields that a test names:

correlation_id   chosen by the client; C++ uses a versioned id, we count
timeout_ms       the timeout; C++ sends it only with a flag that is off by default
error_text       contains the address of the server that failed the call

Compressed bodies are compared after decompression, because compressors may choose the bytes.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import pybrpc
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE, pack_header, unpack_header
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.rpc.compress import decompress
from tests.peers.callers import FORMS, caller
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.protos import conformance_pb2 as pb

VECTORS = Path(__file__).parent / "vectors"
HELLO = "hello from C++ brpc"
ZEES = "z" * 2000
COMPRESSED = {
    "gzip": pybrpc.CompressType.GZIP,
    "zlib": pybrpc.CompressType.ZLIB,
    "snappy": pybrpc.CompressType.SNAPPY,
}
CHECKSUMMED = ("crc32c", "crc32c_attach", "crc32c_covers")
CALLS = ("echo", "attach", "logid", "fail", *COMPRESSED, *CHECKSUMMED)
CRC32C = pybrpc.ChecksumType.CRC32C
RECORDED_SERVER = "127.0.0.1:9600"


def recorded(case: str, role: str) -> bytes:
    return (VECTORS / f"baidu_std_{case}.{role}.bin").read_bytes()


def split(frame: bytes) -> tuple[Any, bytes]:
    """The meta of one frame as an RpcMeta, and the bytes behind the meta."""
    _, body_size, meta_size = unpack_header(frame[:HEADER_SIZE])
    assert len(frame) == HEADER_SIZE + body_size
    return RpcMeta.FromString(frame[HEADER_SIZE:][:meta_size]), frame[HEADER_SIZE + meta_size :]


def changed(frame: bytes, **fields: Any) -> bytes:
    """A recorded frame in which these fields of its meta are replaced."""
    meta, rest = split(frame)
    for name, value in fields.items():
        part, _, field = name.rpartition("__")
        setattr(getattr(meta, part) if part else meta, field, value)
    packed = meta.SerializeToString()
    return bytes(pack_header(len(packed) + len(rest), len(packed)) + packed + rest)


def unpacked(frame: bytes) -> tuple[bytes, bytes]:
    """The meta of a frame, and the decompressed bytes behind it."""
    meta, rest = split(frame)
    if meta.compress_type:
        rest = bytes(decompress(rest, meta.compress_type, len(ZEES) + 100))
    return bytes(meta.SerializeToString()), rest


def arguments(case: str) -> tuple[pb.EchoRequest, pybrpc.Controller]:
    """The arguments of the recorded C++ client."""
    request = pb.EchoRequest(message=HELLO)
    controller = pybrpc.Controller()
    if case.startswith("crc32c"):
        controller.request_checksum_type = CRC32C
        controller.request_checksum_attachment = case == "crc32c_covers"
    if case in ("attach", "crc32c_attach", "crc32c_covers"):
        controller.request_attachment.append(b"ATTACHMENT\x00\x01\x02")
    elif case == "logid":
        controller.log_id, controller.request_id = 123456789, "req-42"
    elif case == "fail":
        request.fail_code, request.fail_text = 10042, "deliberate failure"
    elif case in COMPRESSED:
        request.message, controller.request_compress_type = ZEES, COMPRESSED[case]
    elif case == "crc32c_gzip":
        request.message, controller.request_compress_type = ZEES, pybrpc.CompressType.GZIP
    return request, controller


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("role", ["client", "server"])
def test_recording_without_changes_is_rebuilt_exactly(case: str, role: str) -> None:
    assert changed(recorded(case, role)) == recorded(case, role)


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timeout", [None, 30], ids=["no timeout", "30 s"])
def test_client_sends_the_same_bytes_as_cpp(case: str, form: str, timeout: float | None) -> None:
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
    assert unpacked(sent) == unpacked(changed(recorded(case, "client"), **differences))


def printed(case: str) -> dict[str, str]:
    """The values that the C++ client printed for the call."""
    (entry,) = [
        entry
        for entry in json.loads((VECTORS / "manifest.json").read_text())
        if entry["case"] == f"baidu_std_{case}"
    ]
    found = re.search(
        r"failed=(?P<failed>\d) code=(?P<code>\d+) text=\[(?P<text>.*)\] msg=(?P<message>.*)"
        r" len=(?P<len>\d+) log_id=(?P<log_id>\d+) req=(?P<request_id>\S*)"
        r" att=(?P<attachment>\d+) lat",
        entry["client_prints"],
    )
    assert found is not None
    return found.groupdict()


@pytest.mark.parametrize("case", [*CALLS, "crc32c_gzip", "noauth"])
@pytest.mark.parametrize("form", FORMS)
def test_client_accepts_the_answers_of_cpp(case: str, form: str) -> None:
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
        "message": response.message[:30],
        "len": str(len(response.message)),
        "log_id": str(response.log_id),
        "request_id": response.request_id,
        "attachment": str(len(controller.response_attachment)),
    } == expected
    compress_type, checksum_type, covers = form_of(case)
    assert controller.response_compress_type == compress_type
    assert controller.response_checksum_type == checksum_type
    assert controller.response_checksum_attachment is covers


def form_of(case: str) -> tuple[int, int, bool]:
    """How the recorded answer travelled: compressed, checksummed, with its attachment covered."""
    meta, _ = split(recorded(case, "server"))
    return meta.compress_type, meta.checksum_type, meta.checksum_with_attachment


def exchange(address: str, pieces: list[bytes], count: int = 1) -> list[bytes]:
    """Send the pieces one by one and receive exactly `count` frames."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        with sock.makefile("rb") as file:
            frames = [read_frame(file) for _ in range(count)]
            sock.shutdown(socket.SHUT_WR)
            assert file.read() == b""
    return frames


def read_frame(file: BinaryIO) -> bytes:
    header = file.read(HEADER_SIZE)
    return header + file.read(unpack_header(header)[1])


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
def test_server_sends_the_same_answers_as_cpp(case: str, is_bytewise: bool, address: str) -> None:
    frame = recorded(case, "client")
    pieces = [bytes([byte]) for byte in frame] if is_bytewise else [frame]
    (answer,) = exchange(address, pieces)
    assert unpacked(answer) == unpacked(expected_answer(case, address))


def test_server_answers_each_of_several_pipelined_requests(address: str) -> None:
    frames, answers = [], []
    for number in range(1, 101):
        case = CALLS[number % len(CALLS)]
        frames.append(changed(recorded(case, "client"), correlation_id=number))
        answers.append(changed(expected_answer(case, address), correlation_id=number))
    received = exchange(address, [b"".join(frames)], len(answers))
    assert sorted(map(unpacked, received)) == sorted(map(unpacked, answers))


class Secret:
    """The Authenticator of the recorded C++ client."""

    def generate_credential(self) -> bytes:
        return b"secret-token"

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("form", FORMS)
def test_client_sends_its_credential_as_cpp_does(form: str) -> None:
    """Like C++, it is sent only in the first request of the connection."""

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.answer(peer.expect_request())
        peer.wait_closed()

    request, controller = arguments("auth")
    with (
        ScriptedServer(script) as server,
        caller(form, server.address, auth=Secret(), timeout=None) as client,
    ):
        for _ in range(2):
            client.call(request, controller=controller)
    sent = bytes(server.peers[0].received)
    size = HEADER_SIZE + unpack_header(sent[:HEADER_SIZE])[1]
    first, second = sent[:size], sent[size:]
    first_id, second_id = (split(frame)[0].correlation_id for frame in (first, second))
    assert first == changed(recorded("auth", "client"), correlation_id=first_id)
    assert second == changed(recorded("echo", "client"), correlation_id=second_id)


@pytest.mark.parametrize("form", FORMS)
def test_client_that_cpp_refuses(form: str) -> None:
    """baidu_std_noauth: its error, and the connection that it gives up."""

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        peer.send(changed(recorded("noauth", "server"), correlation_id=request.correlation_id))
        peer.wait_closed()

    request, controller = arguments("noauth")
    with ScriptedServer(script) as server, caller(form, server.address, auth=Secret()) as client:
        for _ in range(2):
            with pytest.raises(pybrpc.errors.AuthenticationError) as caught:
                client.call(request, controller=controller)
            assert caught.value.text == printed("noauth")["text"]
    assert server.connections == 2
