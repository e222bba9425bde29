"""Answers that make no sense, and connections that end before an answer."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

import pybrpc
from pybrpc.errors import (
    BadResponseError,
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    Phase,
    ProtocolError,
    RpcTimeoutError,
)
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_frame, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, closed_port, echo

every_form = pytest.mark.parametrize("form", FORMS)

End = Callable[[Peer], None]
ENDS: dict[str, End] = {"EOF": lambda peer: None, "RST": Peer.reset}
every_end = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)


def broken_after_request(end: End) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.expect_request()
        end(peer)

    return script


@every_form
@every_end
def test_broken_connection_is_retried_with_the_attachment(form: str, end: End) -> None:
    """bRPC: retry, clear_attachment_after_retry."""
    controller = pybrpc.Controller(log_id=7)
    controller.request_attachment.append(b"attached")
    with (
        ScriptedServer(broken_after_request(end), echo) as server,
        caller(form, server.address) as client,
    ):
        assert client.call(echo_request("again"), controller=controller).message == "again"
    first, second = server.requests
    assert controller.retried_count == 1
    assert not controller.failed
    assert second.attachment == first.attachment == b"attached"
    assert second.log_id == 7
    assert bytes(second.body) == bytes(first.body)
    assert second.correlation_id != first.correlation_id
    assert second.timeout_ms is not None
    assert second.timeout_ms <= first.timeout_ms


@every_form
def test_broken_connection_without_a_retry_budget(form: str) -> None:
    """bRPC: close_fd."""
    controller = pybrpc.Controller()
    with (
        ScriptedServer(broken_after_request(ENDS["EOF"]), echo) as server,
        caller(form, server.address, max_retry=0) as client,
    ):
        with pytest.raises(ConnectionFailedError) as caught:
            client.call(echo_request(), controller=controller)
        error = caught.value
        assert error.code == controller.error_code == ErrorCode.EEOF
        assert error.text == controller.error_text
        assert error.text.startswith(f"[E1014]Got EOF of {server.address}")
        assert (error.phase, error.peer) == (Phase.WAITING, server.address)
        assert controller.retried_count == 0
        assert client.call(echo_request("next")).message == "next"
    assert server.connections == 2


@every_form
def test_retry_budget_is_used_up(form: str) -> None:
    controller = pybrpc.Controller()
    with (
        ScriptedServer(broken_after_request(ENDS["EOF"])) as server,
        caller(form, server.address, max_retry=2) as client,
    ):
        with pytest.raises(ConnectionFailedError) as caught:
            client.call(echo_request(), controller=controller)
    assert controller.retried_count == 2
    assert len(server.requests) == 3
    text = caught.value.text
    assert [text.count(mark) for mark in ("[E1014]", "[R1][E1014]", "[R2][E1014]")] == [3, 1, 1]


@every_form
@pytest.mark.parametrize("max_retry", [0, 3])
def test_refused_connection(form: str, max_retry: int) -> None:
    """bRPC: connection_failed."""
    controller = pybrpc.Controller()
    with closed_port() as address, caller(form, address, max_retry=max_retry) as client:
        with pytest.raises(ConnectError) as caught:
            client.call(echo_request(), controller=controller)
        assert client.statistics().in_flight == 0
    error = caught.value
    assert isinstance(error, ConnectionError)
    assert error.code == controller.error_code == errno.ECONNREFUSED
    assert (error.phase, error.peer, error.is_remote) == (Phase.CONNECT, address, False)
    # The first retry finds out that it is not dialled again before a while.
    assert controller.retried_count == min(max_retry, 1)
    refusal = f"[E111]Fail to connect {address}: Connection refused"
    assert error.text.startswith(refusal)
    assert error.text.count(refusal) == 1 + controller.retried_count
    assert ("next dial in " in error.text) is bool(max_retry)


@every_form
@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"PRPC\0\0\0\1\0\0\0\2x", b"PRPX"],
    ids=["http", "zeros", "meta longer than body", "almost"],
)
def test_garbage_for_an_answer(form: str, garbage: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.expect_request()
        peer.send(garbage)
        peer.wait_closed()

    controller = pybrpc.Controller()
    with ScriptedServer(script, echo) as server, caller(form, server.address) as client:
        with pytest.raises(ProtocolError) as caught:
            client.call(echo_request(), controller=controller)
        assert (caught.value.phase, caught.value.peer) == (Phase.WAITING, server.address)
        assert caught.value.is_remote
        assert controller.retried_count == 0
        assert client.call(echo_request("next")).message == "next"
    assert server.connections == 2


@every_form
def test_oversized_answer_ends_its_call_alone(form: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request(), attachment=pybrpc.IOBuf(b"x" * 2000))
        peer.echo_until_closed()

    with (
        ScriptedServer(script) as server,
        caller(form, server.address, max_body_size=1000) as client,
    ):
        with pytest.raises(BadResponseError, match="is larger than max_body_size=1000"):
            client.call(echo_request())
        assert client.call(echo_request("next")).message == "next"
    assert server.connections == 1


def contradicting_frame(request: RpcRequest) -> bytes:
    """A whole answer whose attachment_size (37 as a varint) is larger than the answer."""
    frame = echo_frame(request, attachment=pybrpc.IOBuf(b"a" * 37))
    meta_size = int.from_bytes(frame[8:12], "big")
    return frame[:4] + meta_size.to_bytes(4, "big") + frame[8 : 12 + meta_size]


BAD_ANSWERS: dict[str, tuple[Callable[[RpcRequest], bytes], str]] = {
    "contradicts itself": (contradicting_frame, "attachment_size=37 is larger than response_size"),
    "does not parse": (lambda r: echo_frame(r, body=b"\xff\xff"), "Fail to parse response=conform"),
    "misses a field": (lambda r: echo_frame(r, body=b""), "Fail to parse response=conform"),
    "compressed": (lambda r: echo_frame(r, compress_type=2), "CompressType=gzip"),
}


@every_form
@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_bad_answer_fails_its_call_alone(form: str, answer: str) -> None:
    make_frame, text = BAD_ANSWERS[answer]

    def script(peer: Peer) -> None:
        peer.send(make_frame(peer.expect_request()))
        peer.echo_until_closed()

    controller = pybrpc.Controller()
    with ScriptedServer(script) as server, caller(form, server.address) as client:
        with pytest.raises(BadResponseError, match=text) as caught:
            client.call(echo_request(), controller=controller)
        error = caught.value
        assert error.code == controller.error_code == ErrorCode.ERESPONSE
        assert error.text == controller.error_text
        assert error.text.startswith("[E2002]")
        assert (error.phase, error.peer) == (Phase.WAITING, server.address)
        assert client.call(echo_request("next")).message == "next"
    assert server.connections == 1


@every_form
def test_peer_that_sends_a_request_is_hung_up_on(form: str) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        peer.send(bytes(BAIDU_STD.pack_request(request)))
        peer.wait_closed()

    with ScriptedServer(script, echo) as server, caller(form, server.address) as client:
        with pytest.raises(ProtocolError, match="sent a request to a client"):
            client.call(echo_request())
        assert client.call(echo_request("next")).message == "next"


def call_echo(channel: pybrpc.Channel, controller: pybrpc.Controller) -> str:
    return str(pybrpc.Stub(ECHO, channel).Echo(echo_request("cut"), controller=controller).message)


def check_retry_after_a_cut_at_any_byte(
    size: int, cut_at: Callable[[int], Callable[[Peer], None]]
) -> None:
    scripts = [script for count in range(size) for script in (cut_at(count), echo_once)]
    with ScriptedServer(*scripts) as server:
        for _ in range(size):
            controller = pybrpc.Controller()
            with pybrpc.Channel(server.address, timeout=30) as channel:
                assert call_echo(channel, controller) == "cut"
            assert controller.retried_count == 1


@every_end
def test_peer_closes_at_any_byte_of_the_answer(end: End) -> None:
    size = len(echo_frame(RpcRequest(1, "s", "m", echo_request("cut").SerializeToString())))

    def cut_after(count: int) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            peer.send(echo_frame(peer.expect_request())[:count])
            end(peer)

        return script

    check_retry_after_a_cut_at_any_byte(size, cut_after)


@every_end
def test_peer_closes_at_any_byte_of_the_request(end: End) -> None:
    frame = BAIDU_STD.pack_request(
        RpcRequest(1, "conformance.EchoService", "Echo", echo_request("cut").SerializeToString())
    )
    size = len(frame)

    def read_only(count: int) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            left = count
            while left:
                left -= len(peer.sock.recv(left))
            end(peer)

        return script

    check_retry_after_a_cut_at_any_byte(size, read_only)


def echo_once(peer: Peer) -> None:
    peer.answer(peer.expect_request())
    peer.wait_closed()


@every_form
def test_peer_that_resets_in_the_middle_of_a_long_request(form: str) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.reset()

    controller = pybrpc.Controller()
    controller.request_attachment.append(bytes(32 << 20))
    with (
        ScriptedServer(script, echo) as server,
        caller(form, server.address, max_retry=0) as client,
    ):
        with pytest.raises(ConnectionFailedError) as caught:
            client.call(echo_request(), controller=controller)
        assert caught.value.code in (errno.ECONNRESET, errno.EPIPE)
        assert caught.value.phase is Phase.SENT
        assert client.call(echo_request("next")).message == "next"


@every_form
def test_answer_that_never_gets_whole(form: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.send(echo_frame(peer.expect_request())[:-1])
        peer.wait_closed()

    with ScriptedServer(script) as server, caller(form, server.address) as client:
        client.call(echo_request("whole"))
        with pytest.raises(RpcTimeoutError) as caught:
            client.call(echo_request("cut"), timeout=0.1)
    assert caught.value.phase is Phase.WAITING


@every_form
def test_answer_byte_by_byte(form: str) -> None:
    def script(peer: Peer) -> None:
        for byte in echo_frame(peer.expect_request()):
            peer.send(bytes([byte]))
        peer.wait_closed()

    with ScriptedServer(script) as server, caller(form, server.address) as client:
        assert client.call(echo_request("slow")).message == "slow"
