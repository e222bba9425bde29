"""A server of RTMP and a client that sends single commands: publish, play, and refusals."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pybrpc.errors import OvercrowdedError
from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.message import (
    SET_PEER_BANDWIDTH,
    USER_CONTROL,
    VIDEO,
    RtmpMessage,
    UserEvent,
    user_control_in,
)
from pybrpc.rtmp import Frame, RtmpConnectInfo, RtmpRefused, RtmpService
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.rtmp_peer import RtmpPeer
from tests.peers.rtmp_services import (
    FORMS,
    FRAMES,
    PlainRecording,
    Recording,
    codes_in,
    played,
    serving,
)


@FORMS
def test_frames_of_a_publisher_arrive(form: type[Recording]) -> None:
    service = form()
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.publish("cam?token=1")
        assert peer.wait_status() == "NetStream.Publish.Start"
        for frame in FRAMES:
            peer.send_frame(stream_id, frame)
        peer.command("deleteStream", None, float(stream_id))
        service.wait_end()
    stream = service.streams[0]
    assert service.got == FRAMES
    assert service.failures == [None]
    assert (stream.name, stream.query, stream.app) == ("cam", "token=1", "live")
    assert stream.publish_type == "live"


@FORMS
def test_connection_that_breaks_fails_its_stream_after_the_frames(form: type[Recording]) -> None:
    service = form()
    with serving(service) as endpoint:
        with RtmpPeer(endpoint).connect() as peer:
            stream_id = peer.publish()
            peer.wait_status()
            for frame in FRAMES:
                peer.send_frame(stream_id, frame)
        service.wait_end()
    assert service.got == FRAMES
    assert service.failures[0] is not None


@FORMS
def test_player_gets_its_answers_the_frames_and_the_end(form: type[Recording]) -> None:
    service = form(FRAMES)
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.play("cam", -2000.0, -1.0, True)
        messages = peer.wait_closed()
    assert service.streams[0].start == -2000
    assert played(messages) == FRAMES
    assert codes_in(messages) == [
        "NetStream.Play.Reset",
        "NetStream.Play.Start",
        "NetStream.Play.UnpublishNotify",
    ]
    events = [
        control.event
        for each in messages
        if each.message_type == USER_CONTROL and (control := user_control_in(each.payload))
    ]
    assert events == [UserEvent.STREAM_BEGIN, UserEvent.STREAM_EOF]
    assert {each.stream_id for each in messages if each.message_type == VIDEO} == {stream_id}


def test_connect_is_answered_with_the_limits_of_the_server() -> None:
    with serving(PlainRecording()) as endpoint, RtmpPeer(endpoint).shake_hands() as peer:
        peer.command("connect", {"app": "live"})
        assert peer.wait_for(lambda message: message.message_type == SET_PEER_BANDWIDTH)
        values = peer.wait_command("_result").argument(0)
        assert values["code"] == "NetConnection.Connect.Success"
        assert peer.wait_command("onBWDone")
        assert peer.reader.chunk_size == 60_000


def test_two_streams_of_one_connection() -> None:
    service = PlainRecording()
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        first, second = peer.publish("one"), peer.publish("two")
        for frame in FRAMES[:5]:
            peer.send_frame(first, frame)
            peer.send_frame(second, frame)
        for stream_id in (first, second):
            peer.command("deleteStream", None, float(stream_id))
            service.wait_end()
    assert {stream.name for stream in service.streams} == {"one", "two"}
    assert len(service.got) == 10


@FORMS
def test_bytes_that_come_one_at_a_time(form: type[Recording]) -> None:
    service = form()
    with serving(service) as endpoint, RtmpPeer(endpoint) as peer:
        data = b"\x03" + bytes(2 * 1536)
        data += peer.pack(
            Command("connect", 1.0, {"app": "live"}).pack(),
            Command("createStream", 2.0).pack(),
            Command("publish", 3.0, None, ("cam", "live")).pack(1),
            RtmpMessage(VIDEO, b"v" * 300, 1, 40),
            Command("deleteStream", 0.0, None, (1.0,)).pack(),
        )
        for at in range(len(data)):
            peer.sock.sendall(data[at : at + 1])
        service.wait_end()
    assert service.got == [Frame.video(b"v" * 300, 40)]


def test_commands_behind_a_connect_wait_for_its_answer() -> None:
    gate = threading.Event()

    class Slow(PlainRecording):
        def on_connect(self, connect: RtmpConnectInfo) -> None:
            assert gate.wait(WAIT_S)

    service = Slow()
    with serving(service) as endpoint, RtmpPeer(endpoint).shake_hands() as peer:
        peer.command("connect", {"app": "live"})
        peer.command("createStream")
        peer.command("publish", None, "cam", stream_id=1)
        gate.set()
        assert peer.wait_status() == "NetStream.Publish.Start"


def test_connect_is_refused_with_a_text() -> None:
    seen: list[RtmpConnectInfo] = []

    class Private(PlainRecording):
        async def on_connect(self, connect: RtmpConnectInfo) -> None:
            seen.append(connect)
            raise RtmpRefused("members only")

    with serving(Private()) as endpoint, RtmpPeer(endpoint).shake_hands() as peer:
        url = "rtmp://media.example:1935/live"
        peer.command("connect", {"app": "live?vhost=cdn", "tcUrl": url, "n": 1.0})
        error = peer.wait_command("_error").argument(0)
        peer.wait_closed()
    assert error["code"] == "NetConnection.Connect.Rejected"
    assert error["description"] == "members only"
    assert (seen[0].app, seen[0].vhost, seen[0].tc_url) == ("live", "cdn", url)
    assert seen[0].arguments["n"] == 1.0


@pytest.mark.parametrize("action", ["publish", "play"])
def test_stream_is_refused_with_a_code(action: str) -> None:
    class Closed(RtmpService):
        def on_publish(self, stream: Any) -> None:
            raise RtmpRefused("BadName", "taken")

        async def on_play(self, stream: Any) -> None:
            raise RtmpRefused("StreamNotFound", "who?")

    with serving(Closed()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        getattr(peer, action)()
        status = peer.wait_command("onStatus").argument(0)
    codes = {"publish": "NetStream.Publish.BadName", "play": "NetStream.Play.StreamNotFound"}
    assert (status["level"], status["code"]) == ("error", codes[action])


@pytest.mark.parametrize("action", ["publish", "play"])
def test_service_without_functions_refuses(action: str) -> None:
    with serving(RtmpService()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        getattr(peer, action)()
        assert peer.wait_command("onStatus").argument(0)["level"] == "error"


@pytest.mark.parametrize("kind", ["def", "async"])
def test_function_that_raises_ends_its_stream(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(RtmpService):
        def on_publish(self, stream: Any) -> None:
            stream.recv()
            raise ZeroDivisionError("of the test")

    class AsyncFaulty(RtmpService):
        async def on_publish(self, stream: Any) -> None:
            await stream.recv()
            raise ZeroDivisionError("of the test")

    service = Faulty() if kind == "def" else AsyncFaulty()
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        peer.send_frame(peer.publish(), FRAMES[1])
        peer.wait_closed()
        wait_until(lambda: "ZeroDivisionError: of the test" in caplog.text)


def test_pause_seek_and_other_commands_are_answered() -> None:
    gate = threading.Event()

    class Waiting(RtmpService):
        def on_play(self, stream: Any) -> None:
            stream.accept()
            assert gate.wait(WAIT_S)

    with serving(Waiting()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.play()
        peer.wait_command("onStatus")
        for name, argument, code in (
            ("pause", True, "Pause"),
            ("pause", False, "Unpause"),
            ("seek", 1000.0, "Seek"),
        ):
            peer.command(name, None, argument, 0.0, stream_id=stream_id)
            peer.wait_code(f"NetStream.{code}.Notify")
        peer.command("getStreamLength", None, "cam")
        assert peer.wait_command("_result").argument(0) == 0.0
        for name in ("releaseStream", "FCPublish", "FCSubscribe", "_checkbw"):
            peer.command(name, None, "cam")
            assert peer.wait_command("_result", "_error").name == "_result"
        peer.command("unheardOf")
        assert peer.wait_command("_error").argument(0)["code"] == "NetConnection.Call.Failed"
        gate.set()


def test_player_that_reads_nothing_is_refused_more_frames() -> None:
    stop = threading.Event()
    held: list[int] = []

    class Flooding(RtmpService):
        max_unwritten_bytes = 300_000

        def on_play(self, stream: Any) -> None:
            try:
                while not stop.is_set():
                    stream.send_nowait(Frame.video(bytes(100_000), 0))
            except OvercrowdedError:
                held.append(stream._core.connection.socket.backlog.size_bytes)
                stop.set()
                stream.send(Frame.audio(b"last", 7), timeout=WAIT_S)

    with serving(Flooding()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        peer.play()
        assert stop.wait(WAIT_S)
        messages = peer.wait_closed()
    assert held[0] <= 300_000 + 100_100
    assert played(messages)[-1] == Frame.audio(b"last", 7)


def test_publisher_whose_frames_nobody_takes_is_disconnected() -> None:
    gate = threading.Event()
    failures: list[Any] = []

    class Sleeping(RtmpService):
        max_unread_bytes = 200_000

        def on_publish(self, stream: Any) -> None:
            stream.accept()
            assert gate.wait(WAIT_S)
            failures.append(stream.failure)

    with serving(Sleeping()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.publish()
        for _ in range(4):
            peer.send_frame(stream_id, Frame.video(bytes(60_000), 0))
        peer.wait_code("NetStream.Unpublish.Success")
        gate.set()
        peer.wait_closed()
        wait_until(lambda: bool(failures))
    assert "unread" in str(failures[0])
