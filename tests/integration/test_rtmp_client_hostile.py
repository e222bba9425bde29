"""Clients of RTMP and servers that are hostile, broken, or silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    BadResponseError,
    ConnectionFailedError,
    HandshakeError,
    LimitReachedError,
    OvercrowdedError,
    ProtocolError,
    RpcError,
    RpcTimeoutError,
    StreamTimeoutError,
)
from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.handshake import BLOCK_SIZE
from pybrpc.protocols.rtmp.message import (
    COMMAND,
    USER_CONTROL,
    VIDEO,
    RtmpMessage,
)
from pybrpc.rtmp import Frame, RtmpClient, RtmpOptions
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S
from tests.peers.rtmp_script import (
    FRAMES,
    HASTY,
    SOON_S,
    RtmpServerEnd,
    client_of,
    connecting,
    playing,
    silent,
    status,
)
from tests.peers.scripted_server import Peer

# --- hostile and broken servers ---


def ending_with(data: bytes) -> Callable[[Peer], None]:
    """The script of a server that reads C0 and C1, writes this, and ends its side."""

    def script(peer: Peer) -> None:
        left = 1 + BLOCK_SIZE
        while left:
            left -= len(peer.sock.recv(left))
        peer.send(data)
        peer.end_sending()
        peer.wait_closed()

    return script


HANDSHAKE_FAULTS: dict[str, tuple[Callable[[Peer], None], type[RpcError], str]] = {
    "another protocol": (
        ending_with(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ProtocolError,
        "does not speak RTMP: RTMP: the first byte is 72",
    ),
    "an end at once": (ending_with(b""), HandshakeError, "the peer closed the connection"),
    "an end inside": (
        ending_with(b"\3" + bytes(2000)),
        HandshakeError,
        "the peer closed the connection",
    ),
    "garbage behind": (connecting(b"\xc3" + bytes(50)), ProtocolError, "does not speak RTMP"),
    "a malformed answer": (
        connecting(RtmpMessage(COMMAND, b"\x02\xff\xff")),
        ProtocolError,
        "malformed",
    ),
    "a huge chunk": (
        connecting(b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0" + bytes(100)),
        ProtocolError,
        "does not speak RTMP",
    ),
}


@pytest.mark.parametrize("fault", HANDSHAKE_FAULTS)
def test_a_handshake_that_fails_is_a_typed_error(fault: str) -> None:
    script, kind, text = HANDSHAKE_FAULTS[fault]
    with client_of(script) as (client, _), pytest.raises(kind, match=text) as caught:
        client.publish("name")
    assert caught.value.phase == "handshake"


@pytest.mark.parametrize("answered", ["nothing", "handshake"])
def test_a_silent_server_is_given_up_after_the_connect_timeout(answered: str) -> None:
    script = connecting() if answered == "handshake" else lambda peer: peer.wait_closed()
    options = RtmpOptions(connect_timeout=SOON_S, timeout=WAIT_S)
    with client_of(script, options=options) as (client, _):
        with pytest.raises(HandshakeError, match="not over within connect_timeout"):
            client.publish("name")


def test_nobody_at_the_address_is_a_connect_error(dead_address: str) -> None:
    with RtmpClient(f"rtmp://{dead_address}/live") as client:
        with pytest.raises(pybrpc.errors.ConnectError):
            client.publish("name")


def test_an_unanswered_create_stream_times_out_and_the_next_one_gets_a_new_connection() -> None:
    with client_of(silent, playing(*FRAMES), options=HASTY) as (client, server):
        with pytest.raises(RpcTimeoutError, match="asked to publish a stream"):
            client.publish("SECRET")
        stream = until_opened(client)
        assert list(stream) == FRAMES
        assert server.connections == 2


def until_opened(client: RtmpClient) -> Any:
    while True:
        try:
            return client.play("name")
        except RpcTimeoutError:
            continue


def test_an_unanswered_publish_times_out_and_the_stream_is_deleted() -> None:
    deleted = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play(1)
        rtmp.create(2)
        command, _ = rtmp.expect("deleteStream")
        assert command.argument(0) == 2.0
        deleted.set()
        rtmp.read_to_end()

    options = RtmpOptions(timeout=1.0, connect_timeout=WAIT_S)
    with client_of(script, options=options) as (client, _):
        stream = client.play("name")
        with pytest.raises(RpcTimeoutError):
            client.publish("other")
        assert deleted.wait(WAIT_S)
        assert not stream.is_closed


@pytest.mark.parametrize("number", [0.0, -5.0, float("nan"), 2.0**40, "one", None])
def test_an_impossible_stream_id_is_a_bad_response(number: object) -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        command, _ = rtmp.expect("createStream")
        rtmp.send(rtmp.answer(command, number))
        rtmp.read_to_end()

    with client_of(script) as (client, _), pytest.raises(BadResponseError):
        client.publish("name")


@pytest.mark.parametrize(
    "data",
    [
        b"\xc9garbage",
        b"\x03\0\0\0\xff\xff\xff\x09\1\0\0\0",
        b"\x03\0\0\0\0\0\3\x14\0\0\0\0\2\xff\0",
    ],
    ids=["no header", "too long", "no command"],
)
def test_garbage_later_fails_the_streams_and_the_next_one_gets_a_new_connection(
    data: bytes,
) -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send_frames(FRAMES[0])
        peer.send(data)
        peer.wait_closed()

    with client_of(script, playing(*FRAMES)) as (client, server):
        stream = client.play("name")
        assert stream.recv(WAIT_S) == FRAMES[0]
        with pytest.raises(ProtocolError):
            stream.recv(WAIT_S)
        assert list(client.play("name")) == FRAMES
        assert server.connections == 2


def test_events_for_unknown_streams_and_unknown_commands_change_nothing() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send(
            status("NetStream.Play.Stop").pack(99),
            status("NetStream.Play.Failed", "error").pack(99),
            Command("_result", 12345.0).pack(),
            Command("_error", 12346.0).pack(),
            Command("unheardOf", 3.0, None, ({}, [1.0])).pack(1),
            Command("onStatus", 0.0).pack(1),
            RtmpMessage(VIDEO, b"x", 98),
            RtmpMessage(USER_CONTROL, b"\0"),
            RtmpMessage(200, b"?"),
        )
        rtmp.send_frames(FRAMES[0])
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        assert stream.recv(WAIT_S) == FRAMES[0]


def test_an_end_of_the_connection_fails_its_streams() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send_frames(FRAMES[0])

    with client_of(script) as (client, _):
        stream = client.play("name")
        assert stream.recv(WAIT_S) == FRAMES[0]
        with pytest.raises(ConnectionFailedError):
            stream.recv(WAIT_S)


def test_frames_that_nobody_takes_end_the_stream_at_the_limit() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send_frames(*(Frame.video(bytes(1000), 0) for _ in range(100)))
        rtmp.read_to_end()

    options = RtmpOptions(timeout=WAIT_S, max_unread_bytes=50_000)
    with client_of(script, options=options) as (client, _), client.play("name") as stream:
        assert isinstance(stream.wait_closed(WAIT_S), LimitReachedError)
        assert default_runtime().stream_budget.held_bytes == 0


def test_a_server_that_reads_nothing_makes_send_wait_and_send_nowait_refuse() -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_publish()
        assert go_on.wait(WAIT_S)
        rtmp.read_to_end()

    options = RtmpOptions(timeout=WAIT_S, max_unwritten_bytes=100_000)
    frame = Frame.video(bytes(60_000), 0)
    with client_of(script, options=options) as (client, _), client.publish("name") as out:
        try:
            with pytest.raises(OvercrowdedError):
                repeat(lambda: out.send_nowait(frame))
            with pytest.raises(StreamTimeoutError):
                repeat(lambda: out.send(frame, timeout=SOON_S))
        finally:
            go_on.set()
        out.send(frame, timeout=WAIT_S)


def repeat(function: Callable[[], object]) -> None:
    for _ in range(10_000):
        function()


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_end_in_a_typed_error(seed: int) -> None:
    """After the handshake, or inside of an open stream."""
    random = Random(seed)
    data = bytes(random.choice((0, 1, 2, 3, 0xC3, 255, random.randrange(256))) for _ in range(3000))

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        if seed % 2:
            rtmp.accept_connect()
            rtmp.accept_play()
        else:
            rtmp.shake_hands()
            rtmp.expect("connect")
        peer.send(data)
        peer.end_sending()
        peer.wait_closed()

    with client_of(script) as (client, _):
        with pytest.raises(RpcError):
            repeat(client.play("name").recv)
