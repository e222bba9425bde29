"""Clients of RTMP and scripted servers: streams, answers, ends and errors of every kind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    BadResponseError,
    ChannelClosedError,
    ConnectionFailedError,
    HandshakeError,
    LimitReachedError,
    OvercrowdedError,
    ProtocolError,
    RpcError,
    RpcTimeoutError,
    RtmpStatusError,
    StreamClosedError,
    StreamTimeoutError,
    WouldDeadlockError,
)
from pybrpc.protocols.rtmp.amf0 import encode
from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.handshake import BLOCK_SIZE
from pybrpc.protocols.rtmp.message import (
    ACK,
    COMMAND,
    USER_CONTROL,
    VIDEO,
    RtmpMessage,
    UserEvent,
    number_in,
    user_control,
    user_control_in,
    window_ack,
)
from pybrpc.rtmp import Frame, RtmpClient, RtmpOptions, RtmpStream, aio
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.forking import exit_code_of, fork
from tests.peers.loops import RUNS
from tests.peers.rtmp_script import PATIENT, RtmpPeer, client_of, status
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.tls import as_server, certificates

SOON_S = 0.05
"""For what never comes."""

HASTY = RtmpOptions(timeout=SOON_S, connect_timeout=WAIT_S)
FRAMES = [
    Frame.of_metadata({"width": 160.0}),
    Frame.video(b"\x17\x00" + bytes(50), 0),
    Frame.video(b"\x17\x01" + bytes(200_000), 40),
    Frame.audio(b"\xaf\x01sound", 45),
]


def playing(*frames: Frame) -> Callable[[Peer], None]:
    """The script of a server that plays frames and ends the stream."""

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send_frames(*frames)
        rtmp.send(status("NetStream.Play.UnpublishNotify").pack(1))
        rtmp.read_to_end()

    return script


class Recorder:
    """The script of a server that takes what is published, and keeps it."""

    def __init__(self) -> None:
        self.peers: list[RtmpPeer] = []

    def __call__(self, peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        self.peers.append(rtmp)
        rtmp.accept_connect()
        rtmp.accept_publish()
        rtmp.read_to_end()


def connecting(*parts: bytes | RtmpMessage) -> Callable[[Peer], None]:
    """The script of a server that shakes hands, reads `connect` and answers with this."""

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.shake_hands()
        rtmp.expect("connect")
        for part in parts:
            peer.send(part if isinstance(part, bytes) else rtmp.packed(part))
        peer.wait_closed()

    return script


# --- streams ---


def test_frames_that_are_published_arrive() -> None:
    recorder = Recorder()
    with client_of(recorder) as (client, _), client.publish("name?key=1") as out:
        assert (out.name, out.query) == ("name", "key=1")
        for frame in FRAMES:
            out.send(frame)
        out.send_nowait(*FRAMES)
    (rtmp,) = recorder.peers
    assert rtmp.frames == FRAMES * 2
    assert rtmp.reader.chunk_size == 60_000
    assert rtmp.seen == [
        *["connect", "releaseStream", "FCPublish", "createStream", "publish"],
        *["FCUnpublish", "closeStream", "deleteStream"],
    ]


def test_frames_that_are_played_arrive_until_the_server_ends_the_stream() -> None:
    with client_of(playing(*FRAMES)) as (client, server):
        with client.play("name") as stream:
            assert list(stream) == FRAMES
            assert stream.is_closed
            assert stream.failure is None
            with pytest.raises(StreamClosedError):
                stream.recv()
        assert server.connections == 1


def test_a_player_names_its_buffer_and_its_arguments() -> None:
    found: dict[str, Any] = {}

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        found["connect"] = rtmp.accept_connect().command_object
        rtmp.create(5)
        found["play"], found["id"] = rtmp.expect("play")
        found["controls"] = [
            user_control_in(message.payload)
            for message in rtmp.others
            if message.message_type == USER_CONTROL
        ]
        rtmp.send(status("NetStream.Play.Start").pack(5))
        rtmp.read_to_end()

    options = RtmpOptions(
        timeout=WAIT_S, buffer_length_ms=777, connect_fields={"pageUrl": "http://page"}
    )
    with client_of(script, options=options) as (client, _):
        client.play("x", start=-1, duration=9).close()
    assert found["play"].arguments == ("x", -1.0, 9.0, True)
    assert found["id"] == 5
    (control,) = found["controls"]
    assert (control.event, control.value, control.length_ms) == (3, 5, 777)
    connect = found["connect"]
    assert (connect["app"], connect["pageUrl"]) == ("live", "http://page")
    assert connect["tcUrl"].startswith("rtmp://127.0.0.1:")


def test_several_streams_share_a_connection() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play(1)
        rtmp.accept_play(2)
        for frame in FRAMES:
            rtmp.send_frames(frame, stream_id=2)
            rtmp.send_frames(frame, stream_id=1)
        rtmp.send(status("NetStream.Play.Stop").pack(1))
        rtmp.send(status("NetStream.Play.Complete").pack(2))
        rtmp.read_to_end()

    with client_of(script) as (client, server):
        first, second = client.play("a"), client.play("b")
        assert list(first) == list(second) == FRAMES
        assert server.connections == 1


def test_a_server_with_one_stream_for_each_connection_gets_more_connections() -> None:
    """As nginx-rtmp, which answers each createStream with 1."""

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play(1)
        rtmp.send_frames(FRAMES[0])
        while True:
            for command, _ in rtmp.commands:
                if command.name == "createStream":
                    rtmp.send(rtmp.answer(command, 1.0))
            rtmp.commands.clear()
            if not rtmp.read_on():
                return

    with client_of(script) as (client, server):
        streams = [client.play(name) for name in "abc"]
        assert [stream.recv(WAIT_S) for stream in streams] == [FRAMES[0]] * 3
        assert server.connections == 3


def test_option_gives_each_stream_a_connection() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send_frames(FRAMES[0])
        rtmp.read_to_end()

    options = RtmpOptions(timeout=WAIT_S, share_connection=False)
    with client_of(script, options=options) as (client, server):
        streams = [client.play(name) for name in "ab"]
        assert [stream.recv(WAIT_S) for stream in streams] == [FRAMES[0]] * 2
        assert server.connections == 2


@pytest.mark.parametrize("digest", [False, True])
def test_bytes_that_come_one_by_one_are_read(digest: bool) -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        whole = peer.send

        def send_each(data: bytes) -> None:
            for one in data:
                whole(bytes([one]))

        peer.send = send_each  # type: ignore[method-assign]
        rtmp.accept_connect()
        assert rtmp.handshake.has_digest == digest
        rtmp.accept_play()
        rtmp.send_frames(FRAMES[0], FRAMES[3])
        rtmp.read_to_end()

    options = RtmpOptions(timeout=WAIT_S, connect_timeout=WAIT_S, digest=digest)
    with client_of(script, options=options) as (client, _), client.play("name") as stream:
        assert [stream.recv(WAIT_S) for _ in range(2)] == [FRAMES[0], FRAMES[3]]


def test_frames_in_the_same_bytes_as_the_answers_are_not_lost() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        create, _ = rtmp.expect("createStream")
        messages = [RtmpMessage(f.message_type, f.payload, 3, f.timestamp) for f in FRAMES]
        peer.send(
            rtmp.packed(
                rtmp.answer(create, 3.0),
                *messages[:1],
                status("NetStream.Play.Reset").pack(3),
                status("NetStream.Play.Start").pack(3),
                *messages[1:],
                status("NetStream.Play.Stop").pack(3),
            )
        )
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        assert list(stream) == FRAMES


def test_pings_are_answered_and_bytes_acknowledged_while_nobody_calls() -> None:
    done = threading.Event()
    found: list[RtmpMessage] = []

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send(window_ack(5000), user_control(UserEvent.PING_REQUEST, 77))
        rtmp.send_frames(Frame.video(bytes(20_000), 0))
        wanted = {ACK, USER_CONTROL}
        while not wanted <= {message.message_type for message in rtmp.others[1:]}:
            assert rtmp.read_on()
        found.extend(rtmp.others)
        done.set()
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        assert done.wait(WAIT_S)
        assert len(stream.recv(WAIT_S).payload) == 20_000
    acks = [number_in(one.payload) for one in found if one.message_type == ACK]
    assert acks[0] is not None
    assert acks[0] > 20_000
    pongs = [user_control_in(one.payload) for one in found if one.message_type == USER_CONTROL]
    assert any(pong is not None and (pong.event, pong.value) == (7, 77) for pong in pongs)


def test_stream_eof_ends_nothing() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send(user_control(UserEvent.STREAM_EOF, 1))
        rtmp.send_frames(FRAMES[0])
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        assert stream.recv(WAIT_S) == FRAMES[0]


def test_recv_gives_up_after_its_timeout() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        with pytest.raises(StreamTimeoutError):
            stream.recv(SOON_S)
        assert not stream.is_closed


@pytest.mark.parametrize("scheme", ["rtmp", "rtmps"])
def test_streams_come_through_tls(scheme: str) -> None:
    made = certificates()
    context = made.server_context()
    inner = playing(*FRAMES)

    def script(peer: Peer) -> None:
        peer.sock = as_server(peer.sock, context)
        inner(peer)

    options = RtmpOptions(timeout=WAIT_S, tls=made.client_tls())
    with ScriptedServer(script) as server:
        with RtmpClient(f"{scheme}://{server.address}/live", options) as client:
            assert list(client.play("name")) == FRAMES


def test_a_server_without_tls_is_a_typed_error() -> None:
    options = RtmpOptions(connect_timeout=SOON_S, tls=certificates().client_tls())
    with client_of(lambda peer: peer.wait_closed(), options=options) as (client, _):
        with pytest.raises(HandshakeError, match="does it speak TLS"):
            client.play("name")


def test_ctrl_c_ends_a_wait_and_the_stream_goes_on() -> None:
    waiting = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        assert waiting.wait(WAIT_S)
        os.kill(os.getpid(), signal.SIGINT)
        rtmp.expect("ready")
        rtmp.send_frames(FRAMES[0])
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        with pytest.raises(KeyboardInterrupt):
            interrupted(stream, waiting)
        stream._core.connection.write([Command("ready").pack()])
        assert stream.recv(WAIT_S) == FRAMES[0]


def interrupted(stream: RtmpStream, waiting: threading.Event) -> None:
    waiting.set()
    stream.recv(WAIT_S)


def test_ctrl_c_while_a_stream_is_opened_deletes_it() -> None:
    deleted = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.create()
        rtmp.expect("play")
        os.kill(os.getpid(), signal.SIGINT)
        rtmp.expect("deleteStream")
        deleted.set()
        rtmp.read_to_end()

    with client_of(script) as (client, _):
        with pytest.raises(KeyboardInterrupt):
            client.play("name")
        assert deleted.wait(WAIT_S)


def test_metadata_is_published_for_players_that_come_later() -> None:
    recorder = Recorder()
    cue = Frame(18, encode("onCuePoint", "x"))
    with client_of(recorder) as (client, _), client.publish("name") as out:
        out.send(FRAMES[0], cue)
        out.send(Frame(18, encode("@setDataFrame") + FRAMES[0].payload))
    marked = encode("@setDataFrame") + FRAMES[0].payload
    assert recorder.peers[0].data == [marked, cue.payload, marked]


# --- refusals ---


def refusing(code: str, command: str, stream_id: int) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.create()
        rtmp.expect(command)
        rtmp.send(status(code, "error", "not you").pack(stream_id))
        rtmp.read_to_end()
        assert "deleteStream" in rtmp.seen

    return script


@pytest.mark.parametrize("stream_id", [0, 1])
@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("publish", "NetStream.Publish.BadName"),
        ("play", "NetStream.Play.StreamNotFound"),
    ],
)
def test_a_refused_stream_is_a_typed_error(action: str, code: str, stream_id: int) -> None:
    with client_of(refusing(code, action, stream_id)) as (client, _):
        with pytest.raises(RtmpStatusError, match=f"{code}: not you") as caught:
            getattr(client, action)("SECRET")
        assert (caught.value.status, caught.value.remote_text) == (code, "not you")
        assert caught.value.is_remote
        assert "SECRET" not in str(caught.value)


def test_an_error_as_the_answer_to_publish_is_a_refusal() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.create()
        command, _ = rtmp.expect("publish")
        info = {"level": "error", "code": "NetStream.Publish.Denied"}
        rtmp.send(rtmp.answer(command, info, name="_error"))
        rtmp.read_to_end()

    with client_of(script) as (client, _), pytest.raises(RtmpStatusError) as caught:
        client.publish("name")
    assert caught.value.status == "NetStream.Publish.Denied"


def test_a_refused_create_stream_is_a_typed_error() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        command, _ = rtmp.expect("createStream")
        rtmp.send(rtmp.answer(command, name="_error"))
        rtmp.read_to_end()

    with client_of(script) as (client, _):
        with pytest.raises(RtmpStatusError, match="refuses to create a stream"):
            client.publish("name")


def test_a_refused_connect_is_a_typed_error_with_the_text_of_the_server() -> None:
    info = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": "no app"}
    script = connecting(Command("_error", 1.0, None, (info,)).pack())
    with client_of(script) as (client, _), pytest.raises(RtmpStatusError, match="no app") as caught:
        client.publish("name")
    assert caught.value.status == "NetConnection.Connect.Rejected"
    assert caught.value.phase == "handshake"


def test_an_error_later_ends_the_stream_with_it() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send_frames(FRAMES[0])
        rtmp.send(status("NetStream.Play.Failed", "error", "gone").pack(1))
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        assert stream.recv(WAIT_S) == FRAMES[0]
        with pytest.raises(RtmpStatusError) as caught:
            stream.recv(WAIT_S)
        assert caught.value.status == "NetStream.Play.Failed"
        assert isinstance(stream.failure, RtmpStatusError)


def test_a_published_stream_that_the_server_ends_refuses_frames() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_publish()
        rtmp.send(status("NetStream.Publish.Denied", "error").pack(1))
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.publish("name") as out:
        assert isinstance(out.wait_closed(WAIT_S), RtmpStatusError)
        with pytest.raises(RtmpStatusError):
            out.send(FRAMES[0])


# --- hostile and broken servers ---


def ending_with(data: bytes) -> Callable[[Peer], None]:
    """The script of a server that reads C0 and C1, writes this, and ends its side."""

    def script(peer: Peer) -> None:
        left = 1 + BLOCK_SIZE
        while left:
            left -= len(peer.sock.recv(left))
        peer.send(data)
        peer.sock.shutdown(socket.SHUT_WR)
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
    def silent(peer: Peer) -> None:
        RtmpPeer(peer).accept_connect()
        peer.wait_closed()

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
        rtmp = RtmpPeer(peer)
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
        rtmp = RtmpPeer(peer)
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
        rtmp = RtmpPeer(peer)
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
        rtmp = RtmpPeer(peer)
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
        rtmp = RtmpPeer(peer)
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
        rtmp = RtmpPeer(peer)
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
        rtmp = RtmpPeer(peer)
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
        rtmp = RtmpPeer(peer)
        if seed % 2:
            rtmp.accept_connect()
            rtmp.accept_play()
        else:
            rtmp.shake_hands()
            rtmp.expect("connect")
        peer.send(data)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_closed()

    with client_of(script) as (client, _):
        with pytest.raises(RpcError):
            repeat(client.play("name").recv)


# --- ends of this side ---


def test_close_of_the_client_writes_what_was_sent() -> None:
    recorder = Recorder()
    frame = Frame.video(bytes(500_000), 0)
    with client_of(recorder) as (client, _):
        out = client.publish("name")
        for _ in range(20):
            out.send_nowait(frame)
    (rtmp,) = recorder.peers
    assert rtmp.frames == [frame] * 20
    assert rtmp.seen[-1] == "deleteStream"


def test_close_of_the_client_ends_a_wait_of_another_thread() -> None:
    ended: list[object] = []

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.read_to_end()

    with client_of(script) as (client, _):
        stream = client.play("name")
        thread = threading.Thread(target=lambda: ended.extend(stream))
        thread.start()
        client.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        with pytest.raises(ChannelClosedError):
            client.play("name")


def test_close_does_not_wait_for_a_server_that_does_not_close() -> None:
    over = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        over.wait(WAIT_S)

    with ScriptedServer(script) as server:
        client = RtmpClient(f"rtmp://{server.address}/live", PATIENT)
        client.play("name")
        client.close(timeout=SOON_S)
        assert not client.is_connected
        over.set()


def test_a_client_that_nobody_closed_gives_a_warning_and_closes_its_connection() -> None:
    ended = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.read_to_end()
        ended.set()

    with ScriptedServer(script) as server:
        client = RtmpClient(f"rtmp://{server.address}/live", PATIENT)
        client.play("name")
        clients = [client]
        del client
        with pytest.warns(ResourceWarning, match="unclosed client"):
            clients.clear()
        assert ended.wait(WAIT_S)


def test_opening_a_stream_inside_a_callback_would_deadlock() -> None:
    raised: list[BaseException] = []

    def script(peer: Peer) -> None:
        peer.wait_closed()

    with client_of(script) as (client, _):

        def open_one() -> None:
            try:
                client.publish("name")
            except BaseException as error:
                raised.append(error)

        default_runtime().dispatcher.post(open_one)
        wait_until(lambda: bool(raised))
    assert isinstance(raised[0], WouldDeadlockError)


def test_a_forked_child_finds_its_streams_failed_and_makes_its_own_connection() -> None:
    with client_of(playing(*FRAMES), playing(*FRAMES)) as (client, server):
        stream = client.play("name")

        def child() -> None:
            stream.wait_closed(WAIT_S)
            assert client.play("name").recv(WAIT_S) == FRAMES[0]
            client.close()

        assert exit_code_of(fork(child)) == 0
        assert list(stream) == FRAMES
        assert server.connections == 2


# --- asyncio ---


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    runner: Callable[..., Any] = RUNS[request.param]
    return runner


def test_asyncio_publishes_and_plays(run: Callable[..., Any]) -> None:
    recorder = Recorder()

    async def main(publish_url: str, play_url: str) -> list[Frame]:
        async with aio.RtmpClient(publish_url, PATIENT) as client:
            async with client.publish("name") as out:
                for frame in FRAMES:
                    await out.send(frame)
        async with aio.RtmpClient(play_url, PATIENT) as client:
            stream = await client.play("name")
            return [frame async for frame in stream]

    with ScriptedServer(recorder) as one, ScriptedServer(playing(*FRAMES)) as other:
        urls = [f"rtmp://{server.address}/live" for server in (one, other)]
        assert run(main(*urls)) == FRAMES
    assert recorder.peers[0].frames == FRAMES


def test_asyncio_refusals_and_timeouts_are_typed_errors(run: Callable[..., Any]) -> None:
    async def main(url: str, options: RtmpOptions, kind: type[RpcError]) -> None:
        async with aio.RtmpClient(url, options) as client:
            with pytest.raises(kind):
                await client.publish("name")
            with pytest.raises(kind):
                async with client.publish("name"):
                    raise AssertionError

    def silent(peer: Peer) -> None:
        RtmpPeer(peer).accept_connect()
        peer.wait_closed()

    def refusing_twice(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        for stream_id in (1, 2):
            rtmp.create(stream_id)
            rtmp.expect("publish")
            rtmp.send(status("NetStream.Publish.BadName", "error").pack(stream_id))
        rtmp.read_to_end()

    with ScriptedServer(silent) as server:
        run(main(f"rtmp://{server.address}/live", HASTY, RpcTimeoutError))
    with ScriptedServer(refusing_twice) as server:
        run(main(f"rtmp://{server.address}/live", PATIENT, RtmpStatusError))


def test_cancelling_the_opening_of_a_stream_deletes_it(run: Callable[..., Any]) -> None:
    deleted, asked = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpPeer(peer)
        rtmp.accept_connect()
        rtmp.create()
        rtmp.expect("play")
        asked.set()
        rtmp.expect("deleteStream")
        deleted.set()
        rtmp.read_to_end()

    async def main(url: str) -> None:
        async with aio.RtmpClient(url, PATIENT) as client:
            task = asyncio.ensure_future(client.play("name")._open())
            await asyncio.to_thread(asked.wait, WAIT_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(deleted.wait, WAIT_S)

    with ScriptedServer(script) as server:
        run(main(f"rtmp://{server.address}/live"))


def test_a_client_of_a_closed_loop_connects_anew_in_the_next_one(run: Callable[..., Any]) -> None:
    async def main(client: aio.RtmpClient) -> Any:
        return await client.play("name")

    async def end(client: aio.RtmpClient) -> list[Frame]:
        stream = await client.play("name")
        frames = [frame async for frame in stream]
        await client.close()
        return frames

    with ScriptedServer(playing(*FRAMES)) as server:
        client = aio.RtmpClient(f"rtmp://{server.address}/live", PATIENT)
        first = run(main(client))
        assert run(end(client)) == FRAMES
        assert first.is_closed
        assert server.connections == 2
