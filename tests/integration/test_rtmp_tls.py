"""RTMPS with the bytes of a real encoder: our client with our server, and with nginx behind TLS."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from pybrpc.protocols.rtmp import FlvReader
from pybrpc.rtmp import Frame, RtmpClient, RtmpOptions, aio
from tests.fakes.rtmp_relay import RunningRelay
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.flv_files import packets_of
from tests.peers.nginx_rtmp import NginxRtmp
from tests.peers.rtmp_programs import make_source, rtmpdump_player
from tests.peers.tls import certificates
from tests.peers.tls_proxy import TlsProxy

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the programs are those of Linux"),
]


@pytest.fixture(scope="module")
def large_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With frames that are larger than a record of TLS."""
    path = tmp_path_factory.mktemp("source") / "source.flv"
    return make_source(path, 2.0, 2_000_000, "320x180", noise=60)


def frames_of(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        return [Frame.of_message(message) for message in FlvReader(file)]


def options() -> RtmpOptions:
    return RtmpOptions(timeout=WAIT_S, connect_timeout=WAIT_S, tls=certificates().client_tls())


def test_client_publishes_and_plays_by_its_own_relay(large_source: Path) -> None:
    sent = frames_of(large_source)
    assert max(len(frame.payload) for frame in sent) > 16_384
    server = {"tls": certificates().server_tls()}
    with RunningRelay(server) as relay:
        url = f"rtmps://127.0.0.1:{relay.port}/live"
        with RtmpClient(url, options()) as client, client.play("stream") as playing:
            relay.wait_event("played")
            with RtmpClient(url, options()) as other, other.publish("stream") as out:
                out.send(*sent)
            assert list(playing) == sent


def test_asyncio_client_publishes_and_plays_by_its_own_relay(large_source: Path) -> None:
    sent = frames_of(large_source)

    async def main(url: str) -> list[Frame]:
        async with aio.RtmpClient(url, options()) as client:
            async with client.play("stream") as playing:
                async with client.publish("stream") as out:
                    for frame in sent:
                        await out.send(frame)
                return [frame async for frame in playing]

    with RunningRelay({"tls": certificates().server_tls()}) as relay:
        assert asyncio.run(main(f"rtmps://127.0.0.1:{relay.port}/live")) == sent


def test_client_publishes_to_nginx_and_plays_from_it(large_source: Path, tmp_path: Path) -> None:
    """nginx-rtmp has no TLS of its own. What it gives to rtmpdump without TLS is the same."""
    sent, copy = frames_of(large_source), tmp_path / "copy.flv"
    with (
        NginxRtmp() as server,
        TlsProxy(server.port, certificates().server_context()) as proxy,
        rtmpdump_player(server.url(), copy) as player,
        RtmpClient(f"rtmps://127.0.0.1:{proxy.port}/live", options()) as client,
        client.play("stream") as playing,
    ):
        server.wait_players(2)
        with client.publish("stream") as out:
            out.send(*sent)
        played = list(playing)
        assert player.wait() in (0, 2), player.log()
        wait_until(lambda: bool(proxy.protocols))
    assert set(proxy.protocols) == {"TLSv1.3"}
    assert packets_of(copy) == packets_of(large_source)
    assert coded(played) == coded(sent)


def coded(frames: list[Frame]) -> list[Frame]:
    """Without the headers, of which nginx sends that of audio first."""
    return [each for each in frames if each.kind != "data" and not each.is_sequence_header]
