"""A server of RTMP: stops, loops, one port, TLS, ends, services that attach, options."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pybrpc.errors import StreamClosedError
from pybrpc.protocols.rtmp.message import (
    ACK,
    COMMAND,
    RtmpMessage,
    UserControl,
    UserEvent,
    ping_response,
    user_control,
    window_ack,
)
from pybrpc.rtmp import Frame, RtmpService
from pybrpc.rtmp.server.server_stream_core import ServerStreamCore
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_peer import RawPeer, text_of
from tests.peers.rtmp_peer import RtmpPeer
from tests.peers.rtmp_services import (
    FORMS,
    FRAMES,
    AsyncRecording,
    PlainRecording,
    Recording,
    codes_in,
    played,
    serving,
)
from tests.peers.serving import make_server, start
from tests.peers.tls import certificates


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


def test_a_service_without_its_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="name 'rtmp' in enabled_protocols too"):
        Server(rtmp_service=PlainRecording(), enabled_protocols="baidu_std")


def test_rtmp_alone() -> None:
    service = PlainRecording(FRAMES)
    with (
        serving(service, enabled_protocols="rtmp") as endpoint,
        RtmpPeer(endpoint).connect() as player,
    ):
        player.play()
        assert played(player.wait_closed()) == FRAMES


def test_rtmps() -> None:
    tls = certificates()
    service = PlainRecording(FRAMES)
    with (
        serving(service, tls=tls.server_tls()) as endpoint,
        RtmpPeer(endpoint, tls.client_context()).connect() as peer,
    ):
        peer.play()
        assert played(peer.wait_closed()) == FRAMES


@pytest.mark.parametrize("name", ["closeStream", "deleteStream"])
def test_each_way_in_which_a_publisher_ends(name: str) -> None:
    service = PlainRecording()
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.publish("cam")
        peer.wait_status()
        peer.command("FCUnpublish", None, "cam")
        argument = float(stream_id)
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
