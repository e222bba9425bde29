"""The load of a server of RTMP: a figure if each player receives the stream, else an error."""

from __future__ import annotations

import socket
import sys

import pytest

from bench.measures.rtmp import NGINX
from bench.rounds import measure as bench_measure
from bench.samples import Cell
from bench.site import Site
from bench.work import Window
from tests.peers import rtmp_load
from tests.peers.nginx_rtmp import NginxRtmp
from tests.peers.rtmp_load import (
    Load,
    NotDeliveredError,
    connect_player,
    measure,
    processor_time_s,
)

pytestmark = [
    pytest.mark.proof,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the programs are those of Linux"),
]

BITS_PER_S = 2_000_000


def test_load_is_that_of_the_server_while_each_player_receives_the_stream() -> None:
    with NginxRtmp() as server:
        pid = server.program.pid
        before_s = processor_time_s(pid)
        load = measure(server.url(), pid, 3, seconds=1.0, bits_per_s=BITS_PER_S)
        assert 0 < load.server_cpu_s < processor_time_s(pid) - before_s
    assert len(load.received) == 3
    assert 0.95 < load.least_share() < 1.3
    assert load.source_bits_per_s == pytest.approx(BITS_PER_S, rel=0.2)


@pytest.mark.parametrize(
    ("settings", "played", "error"),
    [
        # A slow machine may count before ffmpeg has heard the answer.
        ("deny publish all;", "stream", "ffmpeg does not publish any more|received 0%"),
        ("", "another", "a player received 0% of the stream"),
    ],
)
def test_load_of_a_server_that_gives_nothing_is_an_error(
    settings: str, played: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect_to_played(url: str) -> socket.socket:
        return connect_player(server.url(played))

    monkeypatch.setattr(rtmp_load, "BEGIN_S", 0.3)
    monkeypatch.setattr(rtmp_load, "connect_player", connect_to_played)
    with NginxRtmp(settings=settings) as server:
        with pytest.raises(NotDeliveredError, match=error):
            measure(server.url(), server.program.pid, 3, seconds=0.3, bits_per_s=BITS_PER_S)


def test_peer_of_the_bench_that_gives_too_little_has_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure_too_little(*arguments: object) -> Load:
        raise NotDeliveredError("a player received 94% of the stream")

    monkeypatch.setattr(rtmp_load, "measure", measure_too_little)
    cell = Cell("rtmp", NGINX, "50")
    with Site() as site:
        sample = bench_measure(site, 0, cell, Window(0.0, 0.1))
    assert (sample.figures, sample.failure) == ({}, "a player received 94% of the stream")


def test_processor_time_is_finer_than_the_ticks_of_the_kernel() -> None:
    """A tick of 10 ms would be 100 us for each second of 50 players in two seconds."""
    with NginxRtmp() as server:
        began_s = processor_time_s(server.program.pid)
        assert 0 < began_s < 10
        assert round(began_s % 0.001, 6) > 0
