"""The hostile peers of the soak do what they should, and servers count nothing afterwards."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE
from soak.accounts import open_accounts, wait_settled
from soak.echo_call import EchoCall
from soak.echo_server import EchoServer
from soak.echo_services import AsyncEcho, echo
from soak.hostile import deeds
from soak.hostile.deeds import DEEDS, Deed
from soak.hostile.hostile_peers import HostilePeers
from soak.hostile.stream_deeds import opened_streams
from soak.hostile.victim import Victim
from soak.identity import USERS
from soak.site import open_sites
from soak.streams.book import StreamBook
from soak.streams.service import StreamHandlers
from soak.tls import PLAIN, has_tls, tls_pair


@pytest.fixture(params=["plain", "TLS"])
def attacked(request: pytest.FixtureRequest) -> Iterator[EchoServer]:
    """A server that wants credentials."""
    if request.param == "TLS" and not has_tls():
        pytest.skip("there are no certificates without trustme")
    pair = contextlib.nullcontext(PLAIN) if request.param == "plain" else tls_pair()
    service = AsyncEcho.with_streams(StreamHandlers(StreamBook(), is_async=True))
    with pair as tls, EchoServer(service, tls, USERS[0]) as server:
        yield server


@pytest.mark.proof
@pytest.mark.parametrize("deed", DEEDS)
def test_server_answers_others_and_counts_nothing_after_the_deed_of_a_hostile_peer(
    deed: Deed, attacked: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deeds, "MOST_PIPELINED", 3000)
    options = {"auth": USERS[0], "tls": attacked.tls.client, "timeout": 30}
    with contextlib.suppress(OSError):
        deed(Victim(attacked), random.Random(1))
    with pybrpc.Channel(attacked.endpoint, **options) as channel:
        call = EchoCall(random.Random(1), USERS[0].user)
        response = pybrpc.Stub(SERVICE, channel).Echo(call.request, controller=call.controller)
        assert call.complaint(response) == ""
    assert open_accounts([attacked]) == []


def test_hostile_peer_opens_streams(attacked: EchoServer) -> None:
    victim = Victim(attacked)
    with victim.connect() as sock:
        assert len(set(opened_streams(victim, sock, 3))) == 3


@pytest.mark.slow
def test_hostile_peers_do_every_deed_until_they_are_stopped() -> None:
    stop = threading.Event()
    with open_sites(1, None, StreamBook()) as sites:
        peers = HostilePeers(sites, "seed", stop, itertools.cycle(DEEDS).__next__)
        thread = threading.Thread(target=peers.run)
        thread.start()
        while len(peers.done) < len(DEEDS):
            threading.Event().wait(0.01)
        stop.set()
        thread.join()
        assert open_accounts({site.server for site in sites}) == []


class NeverAnswers:
    """Its calls wait for `over`."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.over.wait()
        return echo(request, controller)


def test_counts_that_do_not_return_to_zero_are_noticed() -> None:
    service = NeverAnswers()
    with EchoServer(service, PLAIN, None) as server:
        with pybrpc.Channel(server.endpoint, timeout=30) as channel:
            future = pybrpc.Stub(SERVICE, channel).Echo.future(EchoCall(random.Random(1)).request)
            while server.accounts()[1].value == 0:
                threading.Event().wait(0.001)
            assert wait_settled(server.accounts, limit_s=0.0)[:3] == [
                "1 connections",
                "1 requests running",
                "1 requests unfinished",
            ]
            service.over.set()
            future.result()
        assert open_accounts([server]) == []
