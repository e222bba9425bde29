"""A server of RTMP and a client that sends single commands: publish, play, refusals, ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pybrpc.errors import OvercrowdedError, StreamClosedError
from pybrpc.protocols.rtmp.command import Command, parse_command
from pybrpc.protocols.rtmp.message import (
    ACK,
    AUDIO,
    COMMAND,
    DATA,
    SET_PEER_BANDWIDTH,
    USER_CONTROL,
    VIDEO,
    RtmpMessage,
    UserControl,
    UserEvent,
    ping_response,
    user_control,
    user_control_in,
    window_ack,
)
from pybrpc.rtmp import Frame, RtmpConnectInfo, RtmpRefused, RtmpService
from pybrpc.rtmp.server_stream_core import ServerStreamCore
from pybrpc.rtmp.stream_core import RtmpStreamCore
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_peer import RawPeer, text_of
from tests.peers.rtmp_peer import RtmpPeer
from tests.peers.rtmp_services import AsyncRecording, PlainRecording, Recording, serving
from tests.peers.serving import make_server, start
from tests.peers.tls import certificates

FRAMES = [
    Frame.of_metadata({"width": 640.0}),
    *(Frame.video(b"\x27\1\0\0\0" + bytes([n]) * 3000 * n, 40 * n) for n in range(1, 30)),
    Frame.audio(b"\xaf\1sound", 0xFFFFFF + 5),
    Frame.video(b"", 0xFFFFFF + 6),
]
FORMS = pytest.mark.parametrize("form", [PlainRecording, AsyncRecording])


def played(messages: list[RtmpMessage]) -> list[Frame]:
    frames = [
        Frame.of_message(each) for each in messages if each.message_type in (AUDIO, VIDEO, DATA)
    ]
    return [frame for frame in frames if frame.kind != "data" or frame.metadata]


def codes_in(messages: list[RtmpMessage]) -> list[str]:
    commands = [parse_command(each) for each in messages if each.message_type == COMMAND]
    return [command.argument(0)["code"] for command in commands if command.name == "onStatus"]


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
        peer.wait_closed()
    codes = {"publish": "NetStream.Publish.BadName", "play": "NetStream.Play.StreamNotFound"}
    assert (status["level"], status["code"]) == ("error", codes[action])


@pytest.mark.parametrize("action", ["publish", "play"])
def test_service_without_functions_refuses(action: str) -> None:
    with serving(RtmpService()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        getattr(peer, action)()
        assert peer.wait_command("onStatus").argument(0)["level"] == "error"
        peer.wait_closed()


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


@FORMS
def test_stop_ends_the_streams_and_then_the_server(form: type[Recording]) -> None:
    class Endless(form):  # type: ignore[misc, valid-type]
        async def on_play(self, stream: Any) -> None:
            with self.noting(stream):
                stream.accept()
                await stream.wait_closed()

    service = Endless()
    server = Server(rtmp_service=service)
    endpoint = server.start("127.0.0.1:0")
    with RtmpPeer(endpoint).connect() as player, RtmpPeer(endpoint).connect() as publisher:
        player.play()
        assert player.wait_status() == "NetStream.Play.Reset"
        publisher.send_frame(publisher.publish(), FRAMES[1])
        assert publisher.wait_status() == "NetStream.Publish.Start"
        assert server.statistics().streams == 2
        publisher.command("getStreamLength")
        assert publisher.wait_command("_result"), "so the frame has come too"
        server.stop(WAIT_S)
        assert "NetStream.Play.UnpublishNotify" in codes_in(player.wait_closed())
        assert codes_in(publisher.wait_closed()) == ["NetStream.Unpublish.Success"]
        player.close()
        publisher.close()
        server.join()
    assert service.got == [FRAMES[1]]
    assert service.failures == [None, None]


def test_stop_does_not_wait_for_a_client_without_streams() -> None:
    server = Server(rtmp_service=PlainRecording())
    endpoint = server.start("127.0.0.1:0")
    with RtmpPeer(endpoint).connect() as peer:
        server.stop(None)
        peer.wait_closed()
        peer.close()
        server.join()


def test_server_of_a_loop() -> None:
    service = AsyncRecording(FRAMES)

    def use(endpoint: Any) -> list[Frame]:
        with RtmpPeer(endpoint).connect() as peer:
            stream_id = peer.publish()
            peer.send_frame(stream_id, FRAMES[1])
            assert peer.wait_status() == "NetStream.Publish.Start"
            peer.command("closeStream", stream_id=stream_id)
            assert peer.wait_status() == "NetStream.Unpublish.Success"
        with RtmpPeer(endpoint).connect() as peer:
            peer.play()
            return played(peer.wait_closed())

    async def main() -> list[Frame]:
        async with Server(rtmp_service=service) as server:
            return await asyncio.to_thread(use, server.start("127.0.0.1:0"))

    assert asyncio.run(main()) == FRAMES
    assert service.got == [FRAMES[1]]


def test_rtmp_and_calls_on_one_port() -> None:
    service = PlainRecording(FRAMES)
    with make_server(rtmp_service=service) as server:
        endpoint = start(server)
        with RawPeer(endpoint) as caller, RtmpPeer(endpoint).connect() as player:
            player.play()
            assert text_of(caller.call()) == "hello"
            assert played(player.wait_closed()) == FRAMES


def test_protocol_can_be_left_out() -> None:
    with (
        serving(PlainRecording(), enabled_protocols=["baidu_std"]) as endpoint,
        RtmpPeer(endpoint) as peer,
    ):
        peer.sock.sendall(b"\x03" + bytes(1536))
        assert peer.wait_closed() == []


def test_rtmps() -> None:
    tls = certificates()
    service = PlainRecording(FRAMES)
    with (
        serving(service, tls=tls.server_tls()) as endpoint,
        RtmpPeer(endpoint, tls.client_context()).connect() as peer,
    ):
        peer.play()
        assert played(peer.wait_closed()) == FRAMES


@pytest.mark.parametrize("name", ["FCUnpublish", "closeStream", "deleteStream"])
def test_each_way_in_which_a_publisher_ends(name: str) -> None:
    service = PlainRecording()
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.publish("cam")
        peer.wait_status()
        argument = "cam" if name == "FCUnpublish" else float(stream_id)
        peer.command(name, None, argument, stream_id=stream_id if name == "closeStream" else 0)
        service.wait_end()
        assert service.failures == [None]
        peer.command("getStreamLength")
        got: list[RtmpMessage] = []
        while not got or got[-1].message_type != COMMAND:
            got.append(peer.wait_for(lambda message: True))
        status = "NetStream.Unpublish.Success"
        assert codes_in(got) == ([status] if name == "closeStream" else [])


class Relay(RtmpService):
    """Sends what the last publisher sends to all players, in turns. Answers players late."""

    def __init__(self) -> None:
        self.players: list[ServerStreamCore] = []
        self.ended: list[RtmpStreamCore] = []

    def attach(self, core: ServerStreamCore) -> bool:
        if core.name == "unknown":
            return False
        if core.name == "faulty":
            raise ZeroDivisionError("of the test")
        if core.is_publisher:
            core.sink = self
            core.connection.accept(core)
            for player in self.players:
                player.connection.accept(player)
        else:
            self.players.append(core)
        return True

    def on_frames(self, core: RtmpStreamCore, frames: list[Frame]) -> None:
        for player in self.players:
            player.send(frames)

    def on_ended(self, core: RtmpStreamCore) -> None:
        self.ended.append(core)
        for player in self.players:
            player.connection.end_stream(player, None)


def test_service_that_attaches_to_streams() -> None:
    relay = Relay()
    with (
        serving(relay) as endpoint,
        RtmpPeer(endpoint).connect() as player,
        RtmpPeer(endpoint).connect() as publisher,
    ):
        player.play()
        wait_until(lambda: bool(relay.players))
        stream_id = publisher.publish()
        assert publisher.wait_status() == "NetStream.Publish.Start"
        for frame in FRAMES:
            publisher.send_frame(stream_id, frame)
        publisher.command("deleteStream", None, float(stream_id))
        messages = player.wait_closed()
    assert played(messages) == FRAMES
    assert codes_in(messages)[-1] == "NetStream.Play.UnpublishNotify"
    assert len(relay.ended) == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [("unknown", "NetStream.Play.StreamNotFound"), ("faulty", "NetStream.Play.Failed")],
)
def test_service_that_does_not_attach(name: str, code: str) -> None:
    with serving(Relay()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        peer.play(name)
        assert peer.wait_status() == code
        peer.wait_closed()


def test_player_that_stops_reading_does_not_delay_others() -> None:
    frames = [Frame.video(b"\x27\1\0\0\0" + bytes(20_000), n) for n in range(100)]
    service = AsyncRecording(frames)
    service.max_unwritten_bytes = 100_000
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as stopped:
        stopped.play()
        others = [RtmpPeer(endpoint).connect() for _ in range(20)]
        for other in others:
            other.play()
        for other in others:
            assert played(other.wait_closed()) == frames
            other.close()
        assert service.has_ended.acquire(timeout=WAIT_S)


def test_authenticator_of_calls_is_not_asked() -> None:
    class Nobody:
        def verify_credential(self, credential: bytes, client: Any) -> None:
            raise AssertionError("it is for calls")

    service = PlainRecording(FRAMES)
    with serving(service, auth=Nobody()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        peer.play()
        assert played(peer.wait_closed()) == FRAMES


def test_client_that_uses_its_connection_for_more_streams() -> None:
    service = PlainRecording(FRAMES)
    with (
        serving(service) as endpoint,
        RtmpPeer(endpoint).connect(stream_multiplexing=True) as peer,
    ):
        for _ in range(2):
            peer.play()
            peer.wait_code("NetStream.Play.UnpublishNotify")
            service.wait_end()


def test_acks_and_controls_don_t_disturb_each_other() -> None:
    """The session and the connection both write to the chunk stream of control messages."""
    service = PlainRecording()
    with (
        serving(service) as endpoint,
        RtmpPeer(endpoint).connect(stream_multiplexing=True) as peer,
    ):
        peer.send(window_ack(4096))
        for number in range(5):
            stream_id = peer.publish(f"cam{number}")
            peer.wait_status()
            ping = UserControl(UserEvent.PING_REQUEST, number)
            peer.send(user_control(ping.event, ping.value))
            peer.wait_message(ping_response(ping))
            peer.send_frame(stream_id, Frame.video(bytes(50_000), 40))
            peer.wait_for(lambda each: each.message_type == ACK)
            player_id = peer.play()
            peer.wait_message(user_control(UserEvent.STREAM_EOF, player_id))


def test_send_after_the_player_has_left() -> None:
    raised: list[BaseException] = []
    left = threading.Event()

    class Late(RtmpService):
        def on_play(self, stream: Any) -> None:
            stream.accept()
            stream.wait_closed(WAIT_S)
            try:
                stream.send(FRAMES[1])
            except StreamClosedError as error:
                raised.append(error)
            left.set()

    with serving(Late()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.play()
        peer.wait_command("onStatus")
        peer.command("closeStream", stream_id=stream_id)
        assert left.wait(WAIT_S)
    assert raised


@pytest.mark.parametrize(
    "value", [object(), RtmpService, "live"], ids=["an object", "the class", "a name"]
)
def test_what_is_no_service_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="rtmp_service must be None or an object of RtmpService"):
        Server(rtmp_service=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_streams", 0), ("max_unwritten_bytes", -1), ("connect_timeout", -1.0)],
)
def test_options_without_sense_are_refused(name: str, value: Any) -> None:
    service = RtmpService()
    setattr(service, name, value)
    with pytest.raises(ValueError, match=name):
        Server(rtmp_service=service)
