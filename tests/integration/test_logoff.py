"""Servers that stop: callers move away without an error, and nothing runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ConnectError, ErrorCode, RpcError
from tests.fakes.threads import wait_until
from tests.peers.balancer import Balancer
from tests.peers.callers import FORMS, caller
from tests.peers.echo import echo_request
from tests.peers.raw_peer import EchoResponse
from tests.peers.scripted_server import Peer, ScriptedServer, ScriptedServerOn
from tests.peers.serving import make_server
from tests.peers.workload import CALLERS, Workload

RESTARTS = 4
KINDS: dict[str, dict[str, Any]] = {
    "single": {},
    "parallel": {"connections": 6},
    "pooled": {"connection_type": "pooled"},
    "small-pool": {"connection_type": "pooled", "max_pool_size": 5},
    "short": {"connection_type": "short"},
}

every_kind = pytest.mark.parametrize("kind", KINDS)
every_form = pytest.mark.parametrize("form", FORMS)


class Fleet:
    """Servers behind a balancer, whose requests take a moment and are counted."""

    def __init__(self, size: int) -> None:
        self.ran = 0
        self.servers = [self._start("127.0.0.1:0") for _ in range(size)]
        self.balancer = Balancer(*(str(server.endpoint) for server in self.servers))

    def restart(self, index: int) -> None:
        """Stop a server well, and start one at its address."""
        old, address = self.servers[index], self.balancer.addresses[index]
        before = self.ran
        wait_until(lambda: self.ran > before + 10 * CALLERS)
        old.stop(30)
        assert old.join(60)
        assert old.unfinished() == []
        self.servers[index] = self._start(address)

    def _start(self, address: str) -> Any:
        server = make_server(self._echo)
        server.start(address)
        return server

    async def _echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(random.random() * 0.003)
        self.ran += 1
        return EchoResponse(message=request.message)


@contextlib.contextmanager
def fleet(size: int = 2) -> Iterator[Fleet]:
    made = Fleet(size)
    try:
        with made.balancer:
            yield made
    finally:
        for server in made.servers:
            server.stop(0)
            server.join()


@every_kind
def test_rolling_restart_is_seen_by_nobody(kind: str) -> None:
    with fleet() as made:
        with Workload(made.balancer.address, **KINDS[kind]) as work:
            for index in range(RESTARTS):
                made.restart(index % len(made.servers))
        assert [str(error) for error in work.errors] == []
        assert work.answered > RESTARTS * 10 * CALLERS
        assert made.ran == work.answered, "nothing ran twice, and each answer has arrived"


@every_form
@pytest.mark.parametrize("kind", ["parallel", "pooled", "small-pool"])
def test_more_connections_than_retries_to_a_server_that_stops(form: str, kind: str) -> None:
    """One retry is enough: what is older than the refusal is not tried one after another."""
    is_stopping = threading.Event()

    def echo_then_log_off(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            if is_stopping.is_set():
                peer.answer(request, error_code=ErrorCode.ELOGOFF, error_text="stopping", body=b"")
            else:
                peer.answer(request)

    count = 5 if kind == "small-pool" else 6
    controller = pybrpc.Controller()
    with ScriptedServer(*[echo_then_log_off] * count, Peer.echo_until_closed) as server:
        with caller(form, server.address, **KINDS[kind]) as client:
            open_connections(client, count)
            is_stopping.set()
            assert client.call(echo_request("moved"), controller=controller).message == "moved"
            assert controller.retried_count == 1
            assert client.channel.endpoint_statistics().created == count + 1


def open_connections(client: Any, count: int) -> None:
    """Call until there are so many."""
    found = client.channel.endpoint_statistics()
    while found is None or found.created < count:
        requests = [echo_request() for _ in range(count)]
        if hasattr(client.stub.Echo, "future"):
            for future in [client.stub.Echo.future(request) for request in requests]:
                future.result()
        else:
            client.call_many(requests)
        found = client.channel.endpoint_statistics()
    assert found.created == count


@every_form
def test_calls_in_flight_on_a_connection_that_logs_off_are_answered(form: str) -> None:
    """The refusal of one call does not cost the others their answers."""
    first = threading.Event()

    def refuse_the_second(peer: Peer) -> None:
        held, refused = peer.expect_request(), peer.expect_request()
        peer.answer(refused, error_code=ErrorCode.ELOGOFF, error_text="stopping", body=b"")
        first.wait()
        peer.answer(held)
        assert peer.read_request() is None, "the client closes when the last one is answered"

    def answer_and_let_go(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        first.set()
        peer.echo_until_closed()

    if form in ("blocking", "callback"):
        form = "future"
    with ScriptedServer(refuse_the_second, answer_and_let_go) as server:
        with caller(form, server.address) as client:
            answers = client.call_many([echo_request("held"), echo_request("refused")])
            assert [answer.message for answer in answers] == ["held", "refused"]
            wait_until(lambda: client.channel.endpoint_statistics().closed == 1)
            assert server.connections == 2


@every_form
@pytest.mark.parametrize("connection_type", ["single", "pooled", "short", "auto"])
def test_only_server_stops(form: str, connection_type: str) -> None:
    """Callers get an error that says so, they don't hang; and find its successor."""
    address = ""
    options: dict[str, Any] = {"dial_backoff": pybrpc.Backoff(first_s=0.02, factor=1, max_s=0.02)}
    with make_server() as server:
        address = str(server.start("127.0.0.1:0"))
        with caller(form, address, connection_type=connection_type, **options) as client:
            assert client.call(echo_request("x")).message == "x"
            server.stop()
            server.join()
            with pytest.raises(ConnectError) as caught:
                client.call(echo_request())
            assert f"Fail to connect {address}: Connection refused" in caught.value.text
            with ScriptedServerOn(address):
                wait_until(lambda: is_answered(client))


def is_answered(client: Any) -> bool:
    with contextlib.suppress(RpcError):
        return bool(client.call(echo_request("back")).message == "back")
    return False
