"""Servers that get frames of hulu_pbrpc and sofa_pbrpc, also such frames as no client sends.

Where bRPC's own tests are (test/brpc_hulu_pbrpc_protocol_unittest.cpp, 8 of them, and
test/brpc_sofa_pbrpc_protocol_unittest.cpp, 10):

    process_request_failed_socket, process_request_logoff, process_request_wrong_method   here
    process_response_after_eof, process_response_error_code, complete_flow,
        close_in_callback, hulu_compress, sofa_compress   test_protocols; close_in_callback, the
        side of the server, here
    reject_oversized_body, reject_oversized_meta   here; unit/protocols/sofa/test_sofa
"""

from __future__ import annotations

import contextlib
import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AuthenticationError, ConnectionFailedError, ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.framed import FramedProtocol
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.hulu.schema import HuluRpcRequestMeta
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.sofa import SOFA_PBRPC
from pybrpc.protocols.sofa.schema import REQUEST, SofaRpcMeta
from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse, RawPeer, text_of
from tests.peers.raw_peer import request as baidu_request
from tests.peers.serving import Gate, as_async, echo, make_server, start

BODY = EchoRequest(message="hello").SerializeToString()
KINDS = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
BOTH = pytest.mark.parametrize("protocol", [HULU_PBRPC, SOFA_PBRPC], ids=lambda each: each.name)


def request(
    protocol: FramedProtocol, number: int = 1, body: bytes = BODY, **fields: Any
) -> RpcRequest:
    """A request of EchoService.Echo as a client of that protocol sends it."""
    if protocol is HULU_PBRPC:
        fields = {"method": "", "method_index": 0, "service": "EchoService", **fields}
    else:
        fields = {"method": "Echo", "service": "conformance.EchoService", **fields}
    return RpcRequest(number, body=body, **fields)


def packed(*requests: RpcRequest, protocol: FramedProtocol) -> bytes:
    return b"".join(bytes(protocol.pack_request(each)) for each in requests)


@contextlib.contextmanager
def serving(
    protocol: FramedProtocol, *handlers: Any, **options: Any
) -> Iterator[tuple[RawPeer, Server]]:
    with (
        make_server(*handlers, **options) as server,
        RawPeer(start(server), protocol=protocol) as peer,
    ):
        yield peer, server


def call(peer: RawPeer, **fields: Any) -> RpcResponse:
    protocol: Any = peer.protocol
    peer.send(request(protocol, **fields))
    return peer.read_answer()


# --- bRPC's own tests ---


@KINDS
@BOTH
def test_peer_that_closes_before_its_answer(protocol: FramedProtocol, kind: Any) -> None:
    """HuluTest.process_request_failed_socket, SofaTest.process_request_failed_socket"""
    with make_server(kind(echo)) as server:
        endpoint = start(server)
        for _ in range(20):
            with RawPeer(endpoint, protocol=protocol) as peer:
                peer.send(*(request(protocol, number) for number in range(20)))
        with RawPeer(endpoint, protocol=protocol) as peer:
            assert text_of(call(peer)) == "hello"
        wait_until(lambda: server.statistics().connections == 0)
        wait_until(lambda: server.statistics().running == 0)
        assert server.statistics().errors == 0


@BOTH
@KINDS
def test_handler_closes_the_connection_of_its_call(protocol: FramedProtocol, kind: Any) -> None:
    """HuluTest.close_in_callback, SofaTest.close_in_callback: the descriptor is closed while the
    handler runs."""

    def close(received: EchoRequest, controller: Controller) -> EchoResponse:
        for connection in list(server._run.connections):  # type: ignore[union-attr]
            if str(connection.socket.remote_side) == str(controller.remote_side):
                connection.socket.close()
        return EchoResponse(message="nobody reads this")

    with make_server(kind(close)) as server:
        address = str(start(server))
        with pybrpc.Channel(address, protocol=protocol.name, timeout=30, max_retry=0) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            for _ in range(10):
                with pytest.raises(ConnectionFailedError):
                    stub.Echo(EchoRequest(message="hello"))
        wait_until(lambda: server.statistics().running == 0)


@BOTH
def test_server_that_stops_answers_with_elogoff(protocol: FramedProtocol) -> None:
    """HuluTest.process_request_logoff, SofaTest.process_request_logoff"""
    gate = Gate()
    with serving(protocol, gate) as (peer, server):
        peer.send(request(protocol, 1))
        gate.wait_entered()
        server.stop(30)
        peer.send(request(protocol, 2))
        refused = peer.read_answer()
        assert (refused.correlation_id, refused.error_code) == (2, ErrorCode.ELOGOFF)
        assert refused.error_text.endswith("[E2003]Server is stopping")
        gate.open()
        assert text_of(peer.read_answer()) == "hello"
        assert peer.read_to_end() == b""
        assert server.statistics().errors == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"method_index": 10}, "Fail to find method=10 of service=EchoService"),
        ({"method_index": -1}, "Fail to find method=-1 of service=EchoService"),
        ({"method_index": 2**31 - 1}, "Fail to find method=2147483647 of service=EchoService"),
        ({"service": "Nobody"}, "Fail to find method=0 of service=Nobody"),
        ({"service": ""}, "Fail to find method=0 of service="),
        ({"method": "Nothing", "method_index": None}, "Fail to find method=EchoService/Nothing"),
    ],
)
def test_wrong_method_of_hulu(fields: dict[str, Any], text: str) -> None:
    """HuluTest.process_request_wrong_method"""
    with serving(HULU_PBRPC) as (peer, server):
        refused = call(peer, **fields)
        assert refused.error_code == ErrorCode.ENOMETHOD
        assert refused.error_text == f"[{server.endpoint}][E1002]{text}"
        assert server.statistics().errors == 1
        assert text_of(call(peer)) == "hello"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"service": "EchoService", "method": "NO_SUCH_METHOD"}, ErrorCode.ENOMETHOD),
        ({"service": "a.b.Nobody"}, ErrorCode.ENOMETHOD),
        ({"service": "Nobody"}, ErrorCode.ENOSERVICE),
        ({"service": "", "method": ""}, ErrorCode.ENOSERVICE),
    ],
)
def test_wrong_method_of_sofa(fields: dict[str, Any], code: ErrorCode) -> None:
    """SofaTest.process_request_wrong_method"""
    with serving(SOFA_PBRPC) as (peer, server):
        assert call(peer, **fields).error_code == code
        assert server.statistics().errors == 1
        assert text_of(call(peer)) == "hello"


@pytest.mark.parametrize("sizes", [(0, 8 << 20), (8 << 20, 0)], ids=["body", "meta"])
def test_oversized_frame_of_sofa_without_a_head_closes_the_connection(
    sizes: tuple[int, int],
) -> None:
    """SofaTest.reject_oversized_body, SofaTest.reject_oversized_meta"""
    with serving(SOFA_PBRPC, max_body_size=1024) as (peer, server):
        peer.sock.sendall(SOFA_PBRPC.pack_header(*sizes))
        assert peer.read_to_end() == b""
        assert server.statistics().requests == 0


# --- methods ---


def streamed(request: Any, controller: Controller) -> Any:
    return EchoResponse(message=f"{controller.method_name} of {request.message}")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"method_index": 0}, "Echo"),
        ({"method_index": 1}, "Stream"),
        ({"method_index": 1, "service": "conformance.EchoService"}, "Stream"),
        ({"method_index": None, "method": "Stream"}, "Stream"),
    ],
)
def test_hulu_method_is_found_by_its_index_or_its_name(fields: dict[str, Any], name: str) -> None:
    with serving(HULU_PBRPC, streamed, streamed) as (peer, _):
        assert text_of(call(peer, **fields)) == f"conformance.EchoService.{name} of hello"


def test_name_of_a_hulu_method_goes_before_its_index() -> None:
    meta = HuluRpcRequestMeta(service_name=b"EchoService", method_index=0, method_name=b"Stream")
    encoded = meta.SerializeToString()
    with serving(HULU_PBRPC, streamed, streamed) as (peer, _):
        peer.sock.sendall(HULU_PBRPC.pack_header(len(encoded), len(BODY)) + encoded + BODY)
        assert text_of(peer.read_answer()) == "conformance.EchoService.Stream of hello"


def test_index_means_nothing_to_another_protocol() -> None:
    """An empty name is an unknown name there."""
    with make_server() as server, RawPeer(start(server)) as peer:
        peer.send(baidu_request(1, method="", service="EchoService"))
        refused = peer.read_answer()
    assert refused.error_text.endswith("Fail to find method=EchoService/")


def test_handler_sees_what_hulu_carries() -> None:
    seen: list[Controller] = []

    def keep(request: Any, controller: Controller) -> Any:
        seen.append(controller)
        controller.response_attachment = controller.request_attachment
        return EchoResponse(message=request.message)

    with serving(HULU_PBRPC, keep) as (peer, _):
        answer = call(peer, log_id=-1, attachment=IOBuf(b"attached"))
        assert (text_of(answer), answer.attachment) == ("hello", IOBuf(b"attached"))
        assert text_of(call(peer)) == "hello"
    first, second = seen
    assert first.log_id == 2**64 - 1
    assert (second.log_id, second.timeout_ms) == (None, None)
    assert (len(second.request_attachment), second.request_user_fields) == (0, {})


# --- what contradicts itself ---


@BOTH
@pytest.mark.parametrize("compress_type", [5, 99, -1])
def test_unknown_compress_type_is_answered_with_erequest(
    protocol: FramedProtocol, compress_type: int
) -> None:
    if protocol is HULU_PBRPC:
        meta = HuluRpcRequestMeta(
            service_name=b"EchoService", method_index=0, compress_type=compress_type
        ).SerializeToString()
    else:
        meta = SofaRpcMeta(
            type=REQUEST, sequence_id=0, method=b"EchoService.Echo", compress_type=compress_type
        ).SerializeToString()
    with serving(protocol) as (peer, _):
        peer.sock.sendall(protocol.pack_header(len(meta), len(BODY)) + meta + BODY)
        refused = peer.read_answer()
        assert refused.error_code == ErrorCode.EREQUEST
        assert f"compress_type={compress_type} is not supported" in refused.error_text
        assert text_of(call(peer)) == "hello"


@BOTH
@pytest.mark.parametrize("body", [b"\xff", b""], ids=["garbage", "required field missing"])
def test_body_that_does_not_parse_is_answered_with_erequest(
    protocol: FramedProtocol, body: bytes
) -> None:
    with serving(protocol) as (peer, _):
        assert call(peer, body=body).error_code == ErrorCode.EREQUEST
        assert text_of(call(peer)) == "hello"


@pytest.mark.parametrize("size", [-1, -(2**31), 2**31 - 1, len(BODY) + 1])
def test_hulu_body_of_an_impossible_size_is_answered_with_erequest(size: int) -> None:
    meta = HuluRpcRequestMeta(
        service_name=b"EchoService", method_index=0, correlation_id=3, user_message_size=size
    ).SerializeToString()
    with serving(HULU_PBRPC) as (peer, server):
        peer.sock.sendall(HULU_PBRPC.pack_header(len(meta), len(BODY)) + meta + BODY)
        refused = peer.read_answer()
        assert (refused.correlation_id, refused.error_code) == (3, ErrorCode.EREQUEST)
        assert f"user_message_size={size} is " in refused.error_text
        assert text_of(call(peer)) == "hello"
        assert server.statistics().accepted == 1


@BOTH
def test_request_over_the_limit_is_answered_and_the_connection_closed(
    protocol: FramedProtocol,
) -> None:
    with serving(protocol, max_body_size=1000) as (peer, server):
        assert text_of(call(peer)) == "hello"
        frame = packed(request(protocol, 7, bytes(5000)), protocol=protocol)
        peer.sock.sendall(frame)
        refused = peer.read_answer()
        assert (refused.correlation_id, refused.error_code) == (7, ErrorCode.EREQUEST)
        assert "is larger than max_body_size=1000" in refused.error_text
        assert peer.read_to_end() == b""
        assert server.statistics().requests == 2


@BOTH
def test_head_of_a_huge_request_needs_no_memory(protocol: FramedProtocol) -> None:
    frame = packed(request(protocol, 7), protocol=protocol)
    sizes = protocol.sizes_of(frame[: protocol.header_size])
    assert isinstance(sizes, tuple)
    meta = frame[protocol.header_size :][: sizes[0]]
    with serving(protocol) as (peer, _):
        peer.sock.sendall(protocol.pack_header(len(meta), (1 << 31) - 1000) + meta)
        refused = peer.read_answer()
        assert (refused.correlation_id, refused.error_code) == (7, ErrorCode.EREQUEST)
        assert peer.read_to_end() == b""


GARBAGE = {
    "HULU whose meta is longer than all": struct.pack("<4sII", b"HULU", 4, 5),
    "HULU in network byte order": struct.pack("!4sII", b"HULU", 30, 20) + bytes(30),
    "HULU with a meta of 4 GiB": struct.pack("<4sII", b"HULU", 2**32 - 1, 2**32 - 1),
    "HULU with no protobuf": struct.pack("<4sII", b"HULU", 2, 2) + b"\xff\xff",
    "HULU with no method": struct.pack("<4sII", b"HULU", 3, 3) + b"\x0a\x01S",
    "HULU with deep groups": struct.pack("<4sII", b"HULU", 900, 900) + b"\x0b" * 900,
    "SOFA whose sizes don't add up": struct.pack("<4sIQQ", b"SOFA", 4, 5, 10),
    "SOFA whose sum overflows": struct.pack("<4sIQQ", b"SOFA", 2, 2**64 - 1, 1),
    "SOFA with a body of 16 EiB": struct.pack("<4sIQQ", b"SOFA", 0, 2**64 - 1, 2**64 - 1),
    "SOFA with no protobuf": struct.pack("<4sIQQ", b"SOFA", 2, 0, 2) + b"\xff\xff",
    "SOFA with an empty meta": struct.pack("<4sIQQ", b"SOFA", 0, 0, 0),
    "SOFA of an unknown type": struct.pack("<4sIQQ", b"SOFA", 4, 0, 4) + b"\x08\x02\x10\x01",
    "HULU and then SOFA": b"HULUSOFA" + bytes(20),
    "HUL and something else": b"HULT" + bytes(20),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_closes_the_connection(garbage: bytes) -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        peer.sock.sendall(garbage)
        assert peer.read_to_end() == b""
        assert server.statistics().requests == 0


@BOTH
@pytest.mark.parametrize("garbage", [b"HULT", b"SOFT", b"\0" * 30, b"STRA"])
def test_garbage_after_a_request_closes_the_connection(
    protocol: FramedProtocol, garbage: bytes
) -> None:
    with serving(protocol) as (peer, server):
        peer.sock.sendall(packed(request(protocol), protocol=protocol) + garbage)
        peer.read_to_end()
        assert server.statistics().requests == 1


@BOTH
def test_frame_of_another_protocol_on_the_connection_is_answered_in_it(
    protocol: FramedProtocol,
) -> None:
    other = SOFA_PBRPC if protocol is HULU_PBRPC else HULU_PBRPC
    with serving(protocol) as (peer, server):
        assert text_of(call(peer)) == "hello"
        others: Any = (other, BAIDU_STD, protocol)
        for each in others:
            peer.protocol = each
            assert text_of(call(peer)) == "hello"
            unknown = request(each)
            unknown.service = "no.Service"
            peer.sock.sendall(packed(unknown, protocol=each))
            assert peer.read_answer().error_code
        assert server.statistics().requests == 7


@BOTH
def test_frame_of_a_protocol_that_is_not_enabled_closes_the_connection(
    protocol: FramedProtocol,
) -> None:
    other = SOFA_PBRPC if protocol is HULU_PBRPC else HULU_PBRPC
    with (
        make_server(enabled_protocols=[protocol.name]) as server,
        RawPeer(start(server), protocol=protocol) as peer,
    ):
        assert text_of(call(peer)) == "hello"
        peer.sock.sendall(packed(request(other), protocol=other))
        assert peer.read_to_end() == b""
        assert server.statistics().requests == 1


@BOTH
def test_response_to_a_server_closes_the_connection(protocol: FramedProtocol) -> None:
    with serving(protocol) as (peer, server):
        peer.sock.sendall(bytes(protocol.pack_response(RpcResponse(1, body=b"x"))))
        assert peer.read_to_end() == b""
        assert server.statistics().requests == 0


@BOTH
def test_peer_closes_at_any_byte_of_a_request(protocol: FramedProtocol) -> None:
    frame = packed(request(protocol), protocol=protocol)
    with make_server() as server:
        endpoint = start(server)
        for size in range(len(frame)):
            with RawPeer(endpoint) as peer:
                peer.sock.sendall(frame[:size])
        with RawPeer(endpoint, protocol=protocol) as peer:
            assert text_of(call(peer)) == "hello"
        wait_until(lambda: server.statistics().connections == 0)
        assert server.statistics().requests == 1


# --- credentials ---


class Token:
    """Accepts one credential, and keeps all that it judged."""

    def __init__(self) -> None:
        self.judged: list[bytes] = []

    def generate_credential(self) -> bytes:
        return b"secret"

    def verify_credential(self, credential: bytes, client: Endpoint) -> None:
        self.judged.append(credential)
        if credential != b"secret":
            raise AuthenticationError("no")


def test_first_credential_of_a_hulu_connection_is_judged() -> None:
    auth = Token()
    with serving(HULU_PBRPC, auth=auth) as (peer, _):
        assert text_of(call(peer, credential=b"secret")) == "hello"
        assert text_of(call(peer)) == "hello"
        assert text_of(call(peer, credential=b"later")) == "hello"
    assert auth.judged == [b"secret"]


def test_refusal_over_hulu_is_a_response() -> None:
    """C++ writes the meta of the request here, by mistake."""
    with serving(HULU_PBRPC, auth=Token()) as (peer, _):
        refused = call(peer, number=9, credential=b"guess")
        assert refused == dataclasses.replace(
            RpcResponse(9, int(ErrorCode.ERPCAUTH), "Fail to authenticate: no"), compress_type=None
        )
        assert peer.read_to_end() == b""


def test_request_of_sofa_has_no_credential_to_judge() -> None:
    auth = Token()
    with serving(SOFA_PBRPC, auth=auth) as (peer, server):
        assert call(peer).error_code == ErrorCode.ERPCAUTH
        assert peer.read_to_end() == b""
        assert server.statistics().requests == 1
    assert auth.judged == [b""]


# --- several at once ---


def test_one_port_serves_all_protocols_at_once() -> None:
    gate = Gate()
    with make_server(gate) as server, contextlib.ExitStack() as stack:
        endpoint = start(server)
        peers = [
            stack.enter_context(RawPeer(endpoint)),
            stack.enter_context(RawPeer(endpoint, protocol=HULU_PBRPC)),
            stack.enter_context(RawPeer(endpoint, protocol=SOFA_PBRPC)),
        ]
        peers[0].send(baidu_request(1))
        peers[1].send(request(HULU_PBRPC))
        peers[2].send(request(SOFA_PBRPC))
        gate.wait_entered(3)
        gate.open()
        assert [text_of(peer.read_answer()) for peer in peers] == ["hello"] * 3
