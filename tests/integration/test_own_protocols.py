"""Protocols that a program has written itself, on the port of a server and by a channel."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    BadRequestError,
    ConnectionFailedError,
    ErrorCode,
    InternalServerError,
    RpcTimeoutError,
)
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse
from pybrpc.protocols.registry import register_protocol, unregister_protocol
from pybrpc.protocols.traits import new_frame_session
from tests.fakes.threads import wait_until
from tests.peers.line_protocols import JSON_LINES, PLAIN_LINES
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse, RawPeer, request, text_of
from tests.peers.serving import Gate, as_async, echo, make_server, start
from tests.peers.tls import Certificates

BOTH = pytest.mark.parametrize("protocol", [JSON_LINES, PLAIN_LINES], ids=lambda each: each.name)
KINDS = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    for protocol in (JSON_LINES, PLAIN_LINES):
        register_protocol(protocol)
    yield
    for protocol in (JSON_LINES, PLAIN_LINES):
        unregister_protocol(protocol.name)


def in_turn(received: EchoRequest, controller: Any) -> EchoResponse:
    """Answers that come the later the earlier their request came."""
    number = int(received.message)
    passed = EVENTS[number]
    assert passed.wait(30)
    if number:
        EVENTS[number - 1].set()
    return EchoResponse(message=f"answer {number}")


EVENTS: list[threading.Event] = []


@BOTH
@KINDS
def test_calls_go_over_it(protocol: Any, kind: Any) -> None:
    with (
        make_server(kind(echo)) as server,
        pybrpc.Channel(str(start(server)), protocol=protocol.name, timeout=20) as channel,
    ):
        stub = pybrpc.Stub(SERVICE, channel)
        futures = [stub.Echo.future(EchoRequest(message=str(number))) for number in range(200)]
        found = [future.result().message for future in futures]
        assert found == [str(number) for number in range(200)]
        assert stub.Echo(EchoRequest(message="x" * 100_000)).message == "x" * 100_000


@BOTH
def test_calls_of_tasks_go_over_it(protocol: Any) -> None:
    async def main(address: str) -> list[str]:
        async with pybrpc.aio.Channel(address, protocol=protocol.name, timeout=20) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            calls = (stub.Echo(EchoRequest(message=str(number))) for number in range(100))
            return [each.message for each in await asyncio.gather(*calls)]

    with make_server(as_async(echo)) as server:
        assert asyncio.run(main(str(start(server)))) == [str(number) for number in range(100)]


@BOTH
def test_call_that_opens_streams_is_refused_before_it_is_sent(protocol: Any) -> None:
    with (
        make_server(echo) as server,
        pybrpc.Channel(str(start(server)), protocol=protocol.name, timeout=20) as channel,
    ):
        stub = pybrpc.Stub(SERVICE, channel)
        stub.Echo(EchoRequest(message="hello"))
        with pytest.raises(BadRequestError, match=f"{protocol.name} has no place for streams"):
            stub.Echo.stream(EchoRequest(message="hello")).open()
        assert server.statistics().requests == 1


@BOTH
def test_errors_come_with_code_and_text(protocol: Any) -> None:
    def refuse(received: Any, controller: Any) -> Any:
        raise pybrpc.RpcError("no, not now", code=1234)

    with (
        make_server(refuse) as server,
        pybrpc.Channel(str(start(server)), protocol=protocol.name, timeout=20) as channel,
    ):
        with pytest.raises(pybrpc.RpcError) as caught:
            pybrpc.Stub(SERVICE, channel).Echo(EchoRequest(message="x"))
        assert caught.value.code == 1234
        assert "no, not now" in caught.value.text


@pytest.mark.parametrize("connection_type", ["single", "pooled", "short"])
def test_ordered_protocol_works_with_each_connection_type(connection_type: Any) -> None:
    with (
        make_server() as server,
        pybrpc.Channel(
            str(start(server)),
            protocol="plain_lines",
            timeout=20,
            connection_type=connection_type,
        ) as channel,
    ):
        stub = pybrpc.Stub(SERVICE, channel)
        futures = [stub.Echo.future(EchoRequest(message=str(number))) for number in range(20)]
        assert [each.result().message for each in futures] == [str(one) for one in range(20)]


def test_responses_of_an_ordered_protocol_come_in_the_order_of_the_requests() -> None:
    """The handlers end in the opposite order."""
    count = 8
    EVENTS[:] = [threading.Event() for _ in range(count)]
    with make_server(in_turn) as server, RawPeer(start(server), protocol=PLAIN_LINES) as peer:
        peer.send(*(request(0, message=str(number)) for number in range(count)))
        wait_until(lambda: server.statistics().running == count)
        EVENTS[-1].set()
        answers = [text_of(peer.read_answer()) for _ in range(count)]
        assert answers == [f"answer {number}" for number in range(count)]


def test_rejected_requests_of_an_ordered_protocol_are_answered_in_their_turn() -> None:
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server), protocol=PLAIN_LINES) as peer:
        peer.send(request(0), request(0, "NoSuch"), request(0, service="no.Such"), request(0))
        gate.wait_entered()
        gate.open()
        codes = [peer.read_answer().error_code for _ in range(4)]
        assert codes == [0, ErrorCode.ENOMETHOD, ErrorCode.ENOMETHOD, 0]


def test_timed_out_call_does_not_take_the_response_of_the_next_one() -> None:
    gate = Gate()
    with (
        make_server(gate) as server,
        pybrpc.Channel(str(start(server)), protocol="plain_lines", timeout=20) as channel,
    ):
        stub = pybrpc.Stub(SERVICE, channel)
        with pytest.raises(RpcTimeoutError):
            stub.Echo(EchoRequest(message="late"), timeout=0.05)
        gate.open()
        assert stub.Echo(EchoRequest(message="next")).message == "next"


def test_response_that_no_request_awaits_breaks_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pybrpc.Channel(address, protocol="plain_lines", timeout=20, max_retry=0) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            future = stub.Echo.future(EchoRequest(message="a"))
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(5) == b"CALL "
                body = EchoResponse(message="b").SerializeToString()
                response = bytes(PLAIN_LINES.pack_response(RpcResponse(0, body=body)))
                accepted.sendall(response + response)
                assert future.result().message == "b"
                assert accepted.recv(1000).endswith(b"\n")
                assert accepted.recv(1) == b""


def test_server_speaks_all_of_them_on_one_port() -> None:
    with make_server() as server:
        endpoint = start(server)
        for protocol in (BAIDU_STD, JSON_LINES, PLAIN_LINES):
            with RawPeer(endpoint, protocol=protocol) as peer:
                assert text_of(peer.call()) == "hello", protocol


def test_frames_with_ids_share_a_connection_and_ordered_ones_do_not() -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        for protocol in (BAIDU_STD, JSON_LINES, BAIDU_STD):
            peer.protocol = protocol
            assert text_of(peer.call()) == "hello", protocol
        peer.protocol = PLAIN_LINES
        peer.send(request(0))
        assert peer.read_to_end() == b""


def test_protocol_object_can_be_enabled_without_a_name() -> None:
    unregister_protocol("plain_lines")
    try:
        with make_server(enabled_protocols=[PLAIN_LINES, "baidu_std"]) as server:
            endpoint = start(server)
            for protocol in (BAIDU_STD, PLAIN_LINES):
                with RawPeer(endpoint, protocol=protocol) as peer:
                    assert text_of(peer.call()) == "hello"
            with RawPeer(endpoint, protocol=JSON_LINES) as peer:
                peer.send(request(1))
                assert peer.read_to_end() == b""
    finally:
        register_protocol(PLAIN_LINES)


@pytest.mark.parametrize("garbage", [b"get / http/1.1\r\n\r\n", b"\0" * 64, b"calm", b"ok "])
def test_garbage_closes_the_connection(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        peer.sock.sendall(garbage)
        assert peer.read_to_end() == b""
        assert "no known protocol starts with" in caplog.text


def test_alpn_chooses_before_the_first_byte(tmp_path: Path) -> None:
    """The bytes that follow are of that protocol, or of none."""
    certificates = Certificates(tmp_path)
    tls = certificates.server_tls(alpn=["plain-lines", "other"])
    with make_server(tls=tls) as server:
        endpoint = start(server)
        for names in (["plain-lines"], ["other"], []):
            options: Any = {"tls": certificates.client_tls(alpn=names), "timeout": 20}
            with pybrpc.Channel(str(endpoint), protocol="plain_lines", **options) as channel:
                call = pybrpc.Stub(SERVICE, channel).Echo
                assert call(EchoRequest(message="a")).message == "a"
            with pybrpc.Channel(str(endpoint), max_retry=0, **options) as channel:
                call = pybrpc.Stub(SERVICE, channel).Echo
                if names == ["plain-lines"]:
                    with pytest.raises(ConnectionFailedError):
                        call(EchoRequest(message="a"))
                else:
                    assert call(EchoRequest(message="a")).message == "a"


def test_message_of_the_wrong_side_closes_the_connection() -> None:
    with make_server() as server:
        endpoint = start(server)
        for data in (bytes(JSON_LINES.pack_response(RpcResponse(1))), b"CALL a.b eA==\nOK eA==\n"):
            with RawPeer(endpoint) as peer:
                peer.sock.sendall(data)
                peer.read_to_end()
        assert server.statistics().requests == 1


class WrongPacker:
    """A protocol that packs requests, and gives something else for responses."""

    def __init__(self, base: Any, fast_only: bool, packed: Any) -> None:
        self._base = base
        self._packed = packed
        self.name = "packs_wrong"
        self.pack_fast_response = self._pack_wrong
        self.pack_response = base.pack_response if fast_only else self._pack_wrong

    def new_session(self, side: Any, limits: Any) -> Any:
        return new_frame_session(self, side, limits)

    def _pack_wrong(self, *arguments: Any) -> Any:
        if isinstance(self._packed, BaseException):
            raise self._packed
        return self._packed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


@BOTH
@KINDS
@pytest.mark.parametrize("packed", [None, b"abc\n", "abc", RuntimeError("no"), SystemExit(3)])
@pytest.mark.parametrize("fast_only", [True, False])
def test_protocol_that_packs_no_response_leaves_nobody_waiting(
    protocol: Any, kind: Any, packed: Any, fast_only: bool
) -> None:
    register_protocol(WrongPacker(protocol, fast_only, packed))
    try:
        with (
            make_server(kind(echo), enabled_protocols=["packs_wrong"]) as server,
            pybrpc.Channel(
                str(start(server)), protocol="packs_wrong", timeout=20, max_retry=0
            ) as channel,
        ):
            stub = pybrpc.Stub(SERVICE, channel)
            futures = [stub.Echo.future(EchoRequest(message="x")) for _ in range(3)]
            error = InternalServerError if fast_only else ConnectionFailedError
            for future in futures:
                with pytest.raises(error):
                    future.result(30)
            wait_until(lambda: not any(each.calls for each in list(server._run.connections)))  # type: ignore[union-attr]
    finally:
        unregister_protocol("packs_wrong")
