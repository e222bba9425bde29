"""Peers of a server of RTMP that send nonsense, too much, or nothing: it still serves others."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.protocols.rtmp.amf0 import encode
from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.message import (
    COMMAND,
    RtmpMessage,
    UserEvent,
    set_peer_bandwidth,
    user_control,
)
from pybrpc.rtmp import Frame, RtmpService
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.rtmp_peer import RtmpPeer
from tests.peers.rtmp_services import AsyncRecording, PlainRecording, serving

FRAME = Frame.video(b"\x17\1picture", 40)


class Served:
    """A server, with a service that records."""

    def __init__(self) -> None:
        self.service = PlainRecording()
        self.server = Server(rtmp_service=self.service)
        self.endpoint: Endpoint = self.server.start("127.0.0.1:0")

    def check(self) -> None:
        """It still serves, and has forgotten all other connections."""
        while self.service.has_ended.acquire(blocking=False):
            continue
        self.service.got.clear()
        with RtmpPeer(self.endpoint).connect() as peer:
            stream_id = peer.publish()
            peer.send_frame(stream_id, FRAME)
            peer.command("deleteStream", None, float(stream_id))
            self.service.wait_end()
        assert self.service.got == [FRAME]
        wait_until(lambda: self.server.statistics().connections == 0)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.check()
    made.server.stop(0)
    made.server.join()


# --- late ---


def test_handshake_that_is_not_completed() -> None:
    with (
        serving(PlainRecording(), handshake_timeout=0.05) as endpoint,
        RtmpPeer(endpoint) as peer,
    ):
        peer.sock.sendall(b"\x03")
        assert peer.wait_closed() == []


def test_handshake_whose_last_block_does_not_come() -> None:
    with (
        serving(PlainRecording(), handshake_timeout=0.05) as endpoint,
        RtmpPeer(endpoint) as peer,
    ):
        peer.sock.sendall(b"\x03" + bytes(1536) + bytes(1535))
        assert peer.read_all()[:1] == b"\x03"


def test_connect_that_never_comes() -> None:
    service = PlainRecording()
    service.connect_timeout = 0.05
    with serving(service) as endpoint, RtmpPeer(endpoint).shake_hands() as peer:
        assert peer.wait_closed() == []


def test_client_that_wants_no_stream() -> None:
    service = PlainRecording()
    service.stream_timeout = 0.05
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        peer.create_stream()
        peer.wait_closed()


def test_stream_and_slow_service_are_not_late() -> None:
    """The limits hold until the first publish, and not while the service thinks."""
    gate = threading.Event()

    class Slow(PlainRecording):
        connect_timeout = stream_timeout = 0.05

        def on_connect(self, connect: Any) -> None:
            gate.wait(0.1)

    service = Slow()
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.publish()
        peer.wait_status()
        gate.wait(0.1)
        peer.send_frame(stream_id, FRAME)
        peer.command("deleteStream", None, float(stream_id))
        service.wait_end()
    assert service.got == [FRAME]


# --- nonsense ---


@pytest.mark.parametrize(
    "command",
    [
        Command("createStream", 2.0),
        Command("publish", 2.0, None, ("cam",)),
        Command("play", 2.0, None, ("cam",)),
        Command("deleteStream", 2.0, None, (1.0,)),
        Command("", 0.0),
    ],
    ids=lambda command: command.name,
)
def test_command_before_connect(served: Served, command: Command) -> None:
    with RtmpPeer(served.endpoint).shake_hands() as peer:
        peer.send(command.pack())
        assert peer.wait_closed() == []


def test_second_connect(served: Served) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        peer.command("connect", {"app": "live"})
        peer.wait_closed()


@pytest.mark.parametrize("name", ["publish", "play"])
def test_stream_that_was_not_created(served: Served, name: str) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        peer.command(name, None, "cam", stream_id=1)
        peer.wait_closed()


def test_second_publish_on_a_stream(served: Served) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        stream_id = peer.publish()
        peer.command("publish", None, "other", stream_id=stream_id)
        peer.wait_closed()
        served.service.wait_end()
    assert "is not free" in str(served.service.failures[0])


@pytest.mark.parametrize("name", [None, 5.0, {}, "n" * 1025], ids=str)
def test_name_that_is_none(served: Served, name: Any) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        peer.command("publish", None, name, stream_id=peer.create_stream())
        peer.wait_closed()


@pytest.mark.parametrize("value", [math.nan, math.inf, "cam", None, {}, -1.0, 7e300], ids=repr)
@pytest.mark.parametrize("on_stream", [True, False])
def test_delete_stream_with_any_value(served: Served, value: Any, on_stream: bool) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        stream_id = peer.publish()
        peer.wait_status()
        peer.command("deleteStream", None, value, stream_id=stream_id if on_stream else 0)
        served.service.wait_end()
        assert served.service.failures == [None]
        assert peer.create_stream() == stream_id + 1


@pytest.mark.parametrize("value", [math.inf, math.nan, "now", None, {}], ids=repr)
def test_play_with_any_start(value: Any) -> None:
    service = AsyncRecording([FRAME])
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        peer.play("cam", value, value, value)
        peer.wait_closed()
    assert service.streams[0].start == -2


def test_transaction_that_is_no_number(served: Served) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        for transaction in (math.nan, math.inf, -math.inf):
            peer.send(RtmpMessage(COMMAND, encode("createStream", transaction, None)))
            assert peer.wait_command("_result").transaction_id == 0.0


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", b"\x02\xff\xff", encode(5.0), encode("connect", 1.0)[:-3], b"\x0a" * 99],
    ids=["empty", "half a number", "half a text", "a number", "half a connect", "deep arrays"],
)
def test_command_that_is_malformed(served: Served, payload: bytes) -> None:
    with RtmpPeer(served.endpoint).shake_hands() as peer:
        peer.send(RtmpMessage(COMMAND, payload))
        assert peer.wait_closed() == []


def test_connect_without_values(served: Served) -> None:
    for value in (None, 5.0, [], {"app": 5.0, "tcUrl": {}}, {"tcUrl": "rtmp://[::bad/?vhost=%"}):
        with RtmpPeer(served.endpoint).shake_hands() as peer:
            peer.command("connect", value)
            assert peer.wait_command("_result")


def test_media_of_no_stream_is_ignored(served: Served) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        for stream_id in (0, 1, 0xFFFFFFFF):
            peer.send_frame(stream_id, FRAME)
        peer.command("getStreamLength")
        assert peer.wait_command("_result")


def test_media_to_a_player_is_ignored() -> None:
    gate = threading.Event()

    class Waiting(RtmpService):
        def on_play(self, stream: Any) -> None:
            stream.accept()
            gate.wait(WAIT_S)
            assert stream.unread_bytes == 0

    with serving(Waiting()) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.play()
        peer.send_frame(stream_id, FRAME)
        peer.command("getStreamLength")
        assert peer.wait_command("_result")
        gate.set()
        peer.wait_closed()


@pytest.mark.parametrize("count", [0, 1, 1536, 1537, 3072, 3073, 3074, 3090, 3140])
def test_connection_that_ends_at_any_byte(served: Served, count: int) -> None:
    with RtmpPeer(served.endpoint) as peer:
        data = b"\x03" + bytes(3072) + peer.pack(Command("connect", 1.0, {"app": "live"}).pack())
        peer.sock.sendall(data[:count])


def test_message_that_is_never_completed(served: Served) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        stream_id = peer.publish()
        peer.wait_status()
        message = RtmpMessage(9, bytes(100_000), stream_id)
        peer.sock.sendall(peer.pack(message)[:-1])
    served.service.wait_end()
    assert served.service.got == []


def test_message_that_is_too_long() -> None:
    service = PlainRecording()
    service.max_message_bytes = 10_000
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.publish()
        peer.wait_status()
        peer.send(RtmpMessage(9, bytes(10_001), stream_id))
        peer.wait_closed()
        service.wait_end()
    assert service.got == []
    assert service.failures[0] is not None


def test_command_that_is_too_long(served: Served) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        peer.command("connect", ["x" * 50_000, "y" * 20_000])
        peer.wait_closed()


# --- too much ---


def flood(peer: RtmpPeer, data: bytes, until: Callable[[], bool] = lambda: False) -> None:
    """Send without reading until the server closes, or does not read any more."""
    peer.sock.settimeout(0.5)
    try:
        while not until():
            peer.sock.sendall(data)
    except (TimeoutError, OSError):
        return


@pytest.mark.parametrize(
    "message",
    [
        user_control(UserEvent.PING_REQUEST, 7),
        set_peer_bandwidth(5_000),
        Command("createStream", 5.0).pack(),
        Command("unheardOf", 5.0).pack(),
        Command("publish", 5.0, None, ("cam",)).pack(1),
        Command("connect", 5.0, {}).pack(),
    ],
    ids=["ping", "bandwidth", "createStream", "unknown", "publish", "connect"],
)
def test_flood(served: Served, message: RtmpMessage) -> None:
    """Either the server closes the connection, or it reads no more while nothing is taken."""
    with RtmpPeer(served.endpoint).connect() as peer:
        data = peer.pack(*[message] * 2000)
        flood(peer, data)
        held = [each.unwritten_bytes for each in served.server.unfinished_connections()]
        assert sum(held) < 3_000_000
    served_ids = served.server.statistics().streams
    assert served_ids <= 1


def test_streams_of_one_connection_are_limited(served: Served) -> None:
    with RtmpPeer(served.endpoint).connect() as peer:
        numbers = [peer.create_stream() for _ in range(32)]
        assert numbers == list(range(1, 33))
        peer.command("createStream")
        assert peer.wait_command("_result", "_error").name == "_error"
        peer.command("deleteStream", None, 7.0)
        assert peer.create_stream() == 33, "no id is used again"


def test_streams_of_a_server_are_limited() -> None:
    service = PlainRecording()
    service.max_streams = 2
    with serving(service) as endpoint, RtmpPeer(endpoint).connect() as peer:
        for name in ("one", "two"):
            peer.publish(name)
            assert peer.wait_status() == "NetStream.Publish.Start"
        with RtmpPeer(endpoint).connect() as other:
            other.publish("three")
            assert other.wait_status() == "NetStream.Publish.Failed"


def test_commands_during_a_slow_connect_are_limited() -> None:
    gate = threading.Event()

    class Slow(PlainRecording):
        def on_connect(self, connect: Any) -> None:
            gate.wait(WAIT_S)

    with serving(Slow()) as endpoint, RtmpPeer(endpoint).shake_hands() as peer:
        peer.command("connect", {"app": "live"})
        for _ in range(33):
            peer.command("createStream")
        assert peer.wait_closed() == []
        gate.set()
