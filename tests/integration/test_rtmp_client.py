"""Clients of RTMP and scripted servers: streams that are published and played, and refusals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.errors import (
    HandshakeError,
    RtmpStatusError,
    StreamClosedError,
    StreamTimeoutError,
)
from pybrpc.protocols.rtmp.amf0 import encode
from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.message import (
    ACK,
    USER_CONTROL,
    RtmpMessage,
    UserEvent,
    number_in,
    user_control,
    user_control_in,
    window_ack,
)
from pybrpc.rtmp import Frame, RtmpClient, RtmpOptions, RtmpStream
from tests.fakes.threads import WAIT_S
from tests.peers.rtmp_script import (
    FRAMES,
    SOON_S,
    PublishScript,
    RtmpServerEnd,
    client_of,
    connecting,
    playing,
    status,
)
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.tls import as_server, certificates

# --- streams ---


def test_frames_that_are_published_arrive() -> None:
    script = PublishScript()
    with client_of(script) as (client, _), client.publish("name?key=1") as out:
        assert (out.name, out.query) == ("name", "key=1")
        for frame in FRAMES:
            out.send(frame)
        out.send_nowait(*FRAMES)
    (rtmp,) = script.peers
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send(user_control(UserEvent.STREAM_EOF, 1))
        rtmp.send_frames(FRAMES[0])
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.play("name") as stream:
        assert stream.recv(WAIT_S) == FRAMES[0]


def test_recv_gives_up_after_its_timeout() -> None:
    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
    script = PublishScript()
    cue = Frame(18, encode("onCuePoint", "x"))
    with client_of(script) as (client, _), client.publish("name") as out:
        out.send(FRAMES[0], cue)
        out.send(Frame(18, encode("@setDataFrame") + FRAMES[0].payload))
    marked = encode("@setDataFrame") + FRAMES[0].payload
    assert script.peers[0].data == [marked, cue.payload, marked]


# --- refusals ---


def refusing(code: str, command: str, stream_id: int) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
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
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_publish()
        rtmp.send(status("NetStream.Publish.Denied", "error").pack(1))
        rtmp.read_to_end()

    with client_of(script) as (client, _), client.publish("name") as out:
        assert isinstance(out.wait_closed(WAIT_S), RtmpStatusError)
        with pytest.raises(RtmpStatusError):
            out.send(FRAMES[0])
