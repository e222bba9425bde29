"""Streams that a server refuses or ends: what else its client has goes on, and it may ask again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.errors import RtmpStatusError
from pybrpc.protocols.rtmp.message import AUDIO, VIDEO, RtmpMessage
from pybrpc.rtmp import RtmpClient, RtmpRefused, RtmpRelay, RtmpService
from pybrpc.rtmp.server.server_stream_core import ServerStreamCore
from pybrpc.server import Server
from tests.fakes.rtmp_frames import audio_header, keyframe, video_header
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.rtmp_peer import RtmpPeer
from tests.peers.rtmp_services import PlainRecording, serving

ROUNDS = 30
HEADERS = [video_header(), audio_header()]
CHUNKS_BYTES = 12 + 128 + 1 + 128
"""Two chunks of a message with a complete header."""


class PlainService(RtmpService):
    def on_publish(self, stream: Any) -> None:
        if stream.name == "bad":
            raise RtmpRefused("Denied", "no")
        for _ in stream:
            continue


class AsyncService(RtmpService):
    async def on_publish(self, stream: Any) -> None:
        if stream.name == "bad":
            raise RtmpRefused("Denied", "no")
        async for _ in stream:
            continue


async def authorize_async(request: Any) -> bool:
    return bool(request.name != "bad")


SERVICES: dict[str, Callable[[], RtmpService]] = {
    "plain service": PlainService,
    "async service": AsyncService,
    "relay": lambda: RtmpRelay(authorize_publish=lambda request: request.name != "bad"),
    "relay, async": lambda: RtmpRelay(authorize_publish=authorize_async),
}


@pytest.mark.parametrize("name", SERVICES)
def test_refusal_ends_no_other_stream_of_the_client(name: str) -> None:
    with serving(SERVICES[name]()) as endpoint, RtmpClient(f"rtmp://{endpoint}/live") as client:
        kept = client.publish("kept")
        for _ in range(ROUNDS):
            with pytest.raises(RtmpStatusError, match="Denied"):
                client.publish("bad")
            client.publish("good").close()
            kept.send(*HEADERS)
        assert kept.failure is None
        assert not kept.is_closed


@pytest.mark.parametrize("name", SERVICES)
def test_client_without_another_stream_may_ask_again(name: str) -> None:
    with serving(SERVICES[name]()) as endpoint, RtmpClient(f"rtmp://{endpoint}/live") as client:
        for _ in range(ROUNDS):
            with pytest.raises(RtmpStatusError, match="Denied"):
                client.publish("bad")
            client.publish("good").close()


def test_client_asks_again_over_another_connection_if_the_server_has_just_closed_the_last() -> None:
    """The server closes a connection when it has ended the last stream of it."""
    with serving(PlainRecording([keyframe(1)])) as endpoint:
        with RtmpClient(f"rtmp://{endpoint}/live") as client:
            for _ in range(ROUNDS):
                with client.play("a") as played:
                    assert list(played) == [keyframe(1)]


def test_name_that_is_taken_is_not_taken_from_who_has_it() -> None:
    relay = RtmpRelay()
    with serving(relay) as endpoint, RtmpClient(f"rtmp://{endpoint}/live") as client:
        out = client.publish("x")
        with client.play("x") as played:
            with pytest.raises(RtmpStatusError, match="BadName"):
                client.publish("x")
            out.send(*HEADERS, keyframe(1))
            assert [played.recv(WAIT_S) for _ in range(3)] == [*HEADERS, keyframe(1)]
    relay.close()


def test_stream_that_was_replaced_does_not_take_the_name_back() -> None:
    relay = RtmpRelay(republish="replace")
    with serving(relay) as endpoint, RtmpClient(f"rtmp://{endpoint}/live") as client:
        first, second = client.publish("x"), client.publish("x")
        wait_until(lambda: first.is_closed)
        first.close()
        with client.play("x") as played:
            second.send(*HEADERS, keyframe(1))
            assert [played.recv(WAIT_S) for _ in range(3)] == [*HEADERS, keyframe(1)]
    relay.close()


class RefusedWithoutValues(RtmpRefused):
    def __init__(self) -> None:  # does not call that of RtmpRefused
        pass


def test_refusal_without_values_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a stream that was refused is not counted when its client knows of that."""
    release = ServerStreamCore.release

    def release_late(core: ServerStreamCore, part: str) -> None:
        time.sleep(0.02)
        release(core, part)

    monkeypatch.setattr(ServerStreamCore, "release", release_late)

    class Service(RtmpService):
        max_streams = 2

        def on_publish(self, stream: Any) -> None:
            raise RefusedWithoutValues

        def on_play(self, stream: Any) -> None:
            stream.send(keyframe(1))

    with serving(Service()) as endpoint:
        with RtmpPeer(endpoint).connect() as peer:
            for _ in range(4):
                peer.publish()
                assert peer.wait_status() == "NetStream.Publish.Denied"
        with RtmpClient(f"rtmp://{endpoint}/live") as client, client.play("a") as played:
            assert played.recv(WAIT_S) == keyframe(1)


def test_refusal_to_connect_without_values_is_one() -> None:
    class Service(RtmpService):
        def on_connect(self, connect: Any) -> None:
            raise RefusedWithoutValues

    with serving(Service()) as endpoint, RtmpClient(f"rtmp://{endpoint}/live") as client:
        with pytest.raises(RtmpStatusError, match="not allowed"):
            client.play("a")


@pytest.mark.parametrize("answer", [False, 0, "yes", iter(())])
def test_on_connect_admits_with_none_and_true_alone(answer: Any) -> None:
    class Service(PlainRecording):
        answer: Any = None

        def on_connect(self, connect: Any) -> Any:
            return self.answer

    service = Service([keyframe(1)])
    with serving(service) as endpoint:
        for admits in (None, True):
            service.answer = admits
            with RtmpClient(f"rtmp://{endpoint}/live") as client:
                client.play("a").close()
        service.answer = answer
        with RtmpClient(f"rtmp://{endpoint}/live") as client:
            with pytest.raises(RtmpStatusError, match=r"Connect\.Rejected"):
                client.play("a")


def test_text_of_a_refusal_is_cut_to_what_peers_take() -> None:
    class Service(RtmpService):
        def on_play(self, stream: Any) -> None:
            raise RtmpRefused("Denied", "x" * 100_000)

    with serving(Service()) as endpoint, RtmpClient(f"rtmp://{endpoint}/live") as client:
        with pytest.raises(RtmpStatusError, match="Denied"):
            client.play("a")


@pytest.mark.parametrize("name", ["closeStream", "deleteStream"])
def test_player_that_stops_hears_of_it(name: str) -> None:
    """A player of librtmp waits for that."""
    relay = RtmpRelay()
    with serving(relay) as endpoint, RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.play()
        peer.wait_code("NetStream.Play.Start")
        number = stream_id if name == "closeStream" else 0
        peer.command(name, None, float(stream_id), stream_id=number)
        assert peer.wait_status() == "NetStream.Play.Stop"
    relay.close()


# --- functions that decide ---


def test_functions_that_decide_count_as_streams_until_they_return() -> None:
    go_on = threading.Event()
    running = threading.Semaphore(0)

    def authorize(request: Any) -> bool:
        running.release()
        return go_on.wait(WAIT_S)

    relay = RtmpRelay(authorize_play=authorize, max_streams=3)
    before = threading.active_count()
    with serving(relay) as endpoint, RtmpPeer(endpoint).connect() as peer:
        for _ in range(3):
            stream_id = peer.play()
            peer.command("deleteStream", None, float(stream_id))
            assert running.acquire(timeout=WAIT_S)
        for _ in range(10):
            stream_id = peer.play()
            peer.wait_code("NetStream.Play.Failed")
            peer.command("deleteStream", None, float(stream_id))
        assert threading.active_count() <= before + 5
        go_on.set()
        wait_until(lambda: threading.active_count() <= before + 2)
        peer.play()
        peer.wait_code("NetStream.Play.Start")
    relay.close()


def test_functions_on_connect_are_limited() -> None:
    go_on = threading.Event()
    running = threading.Semaphore(0)

    class Service(RtmpService):
        max_streams = 2

        def on_connect(self, connect: Any) -> None:
            running.release()
            go_on.wait(WAIT_S)

    with serving(Service()) as endpoint:
        waiting = [RtmpPeer(endpoint).shake_hands() for _ in range(2)]
        for peer in waiting:
            peer.command("connect", {"app": "live"})
            assert running.acquire(timeout=WAIT_S)
        with RtmpPeer(endpoint).shake_hands() as other:
            other.command("connect", {"app": "live"})
            assert "too many clients" in other.wait_command("_error").argument(0)["description"]
        go_on.set()
        for peer in waiting:
            assert peer.wait_command("_result").name == "_result"
            peer.close()


# --- limits of time ---


@pytest.mark.parametrize("ends_by", ["deleteStream", "a refusal"])
def test_client_that_asks_for_no_more_streams_is_closed(ends_by: str) -> None:
    relay = RtmpRelay(authorize_publish=lambda request: False)
    relay.stream_timeout = 0.3
    with serving(relay) as endpoint, RtmpPeer(endpoint).connect() as peer:
        if ends_by == "a refusal":
            peer.publish()
        else:
            stream_id = peer.play()
            peer.wait_code("NetStream.Play.Start")
            peer.command("deleteStream", None, float(stream_id))
        peer.wait_closed()
    relay.close()


@pytest.mark.slow
@pytest.mark.proof
def test_message_that_never_ends_closes_its_connection_though_others_come() -> None:
    """Messages of one connection interleave."""
    server = Server(rtmp_service=PlainRecording(), message_timeout=0.3)
    endpoint = server.start("127.0.0.1:0")
    with RtmpPeer(endpoint).connect() as peer:
        stream_id = peer.publish()
        peer.wait_status()
        whole = peer.pack(RtmpMessage(VIDEO, bytes(1000), stream_id, 0))
        peer.sock.sendall(whole[:CHUNKS_BYTES])
        tick = RtmpMessage(AUDIO, b"tick", stream_id, 1)

        def tick_on() -> None:
            for _ in range(1000):
                peer.send(tick)
                time.sleep(0.02)

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            tick_on()
    server.stop(0)
    server.join()
