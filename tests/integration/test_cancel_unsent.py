"""Calls that end before their request was sent: it is dropped, and the server never sees it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import Phase, RpcTimeoutError
from tests.peers.callers import LOOPS
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, echo
from tests.protos import conformance_pb2 as pb

COUNT = 1000
SMALL = pybrpc.SocketOptions(send_buffer_bytes=16 * 1024)
every_loop = pytest.mark.parametrize("loop", LOOPS)


class Reluctant:
    """The script of a peer that answers one request, and reads on only once it may."""

    def __init__(self) -> None:
        self.may_read = threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.answer(peer.expect_request())
        self.may_read.wait()
        peer.echo_until_closed()


@contextmanager
def crowd(timeout: float | None = None) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Many futures of long requests to a peer that does not read; most of them are queued."""
    peer = Reluctant()
    with ScriptedServer(peer) as server:
        try:
            with pybrpc.Channel(server.address, timeout=60, options=SMALL) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                stub.Echo(echo_request("first"))
                long = "x" * 32_768
                futures = [
                    stub.Echo.future(echo_request(f"{i} {long}"), timeout=timeout or 60)
                    for i in range(COUNT)
                ]
                yield server, peer, channel, futures
        finally:
            peer.may_read.set()


def socket_of(channel: pybrpc.Channel) -> Any:
    statistics = channel.statistics()
    assert statistics is not None
    return statistics.socket


def numbers(server: ScriptedServer) -> list[int]:
    """The numbers of the requests that arrived, without the first and the last."""
    messages = [pb.EchoRequest.FromString(bytes(r.body)).message for r in server.requests]
    return [int(message.split()[0]) for message in messages[1:-1]]


def read_on(peer: Reluctant, channel: pybrpc.Channel) -> None:
    """Let the peer read; a call behind all that is queued is the proof that it is through."""
    peer.may_read.set()
    assert pybrpc.Stub(ECHO, channel).Echo(echo_request("last")).message == "last"


def test_cancel_drops_what_is_queued() -> None:
    """A request that began to be written goes out whole; the others are never sent.

    The newest is cancelled first: the kernel may take some more meanwhile, and those that are not
    cancelled are the oldest ones at any time.
    """
    with crowd() as (server, peer, channel, futures):
        assert socket_of(channel).backlog_bytes > COUNT // 2 * 32_768
        assert all(future.cancel() for future in reversed(futures))
        assert concurrent.futures.wait(futures, timeout=0).done == {*futures}
        read_on(peer, channel)
        arrived = numbers(server)
        assert arrived == list(range(len(arrived))), "the oldest ones, whole and in order"
        assert 1 <= len(arrived) < COUNT // 2
        assert socket_of(channel).backlog_bytes == 0
        assert socket_of(channel).messages_written == len(arrived) + 2
        assert channel.statistics().in_flight == 0
        assert channel.statistics().late_answers == len(arrived)


def test_every_second_one() -> None:
    with crowd() as (server, peer, channel, futures):
        for future in futures[1::2]:
            future.cancel()
        read_on(peer, channel)
        for i, future in enumerate(futures):
            assert future.cancelled() == bool(i % 2)
            if not i % 2:
                assert future.result().message.startswith(f"{i} x")
        arrived = numbers(server)
        assert {*range(0, COUNT, 2)} <= {*arrived}
        assert len(arrived) < COUNT * 3 // 4
        assert socket_of(channel).backlog_bytes == 0


def test_deadline_drops_what_is_queued() -> None:
    """Just those arrive that say that they had begun."""
    with crowd(timeout=0.3) as (server, peer, channel, futures):
        phases = []
        for future in futures:
            with pytest.raises(RpcTimeoutError) as caught:
                future.result()
            phases.append(caught.value.phase)
        read_on(peer, channel)
        begun = [i for i, phase in enumerate(phases) if phase is not Phase.QUEUED]
        assert numbers(server) == begun
        assert 1 <= len(begun) < COUNT // 2
        assert socket_of(channel).backlog_bytes == 0


@every_loop
def test_tasks_that_are_canceled_drop_what_is_queued(loop: str) -> None:
    async def main() -> None:
        async with pybrpc.aio.Channel(server.address, timeout=60, options=SMALL) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            await stub.Echo(echo_request("first"))
            long = "x" * 32_768
            futures = [stub.Echo(echo_request(f"{i} {long}")) for i in range(COUNT)]
            await asyncio.sleep(0.05)
            for future in futures:
                assert future.cancel()
            await asyncio.gather(*futures, return_exceptions=True)
            peer.may_read.set()
            assert (await stub.Echo(echo_request("last"))).message == "last"
            assert channel.statistics().socket.backlog_bytes == 0  # type: ignore[union-attr]

    peer = Reluctant()
    with ScriptedServer(peer) as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    arrived = numbers(server)
    assert arrived == list(range(len(arrived)))
    assert 1 <= len(arrived) < COUNT // 2


@every_loop
def test_canceled_while_connecting_is_never_sent(loop: str) -> None:
    """Connecting begins with the first call and takes at least a turn of the loop."""

    async def main() -> None:
        async with pybrpc.aio.Channel(server.address, timeout=60) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo(echo_request(str(i))) for i in range(100)]
            for future in futures:
                assert future.cancel()
            assert (await stub.Echo(echo_request("last"))).message == "last"
            assert channel.statistics().in_flight == 0  # type: ignore[union-attr]

    with ScriptedServer() as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    assert len(server.requests) == 1
    assert server.connections == 1


def test_loser_of_a_hedge_that_is_still_queued_is_never_sent() -> None:
    """The first connection does not read, so the backup goes over the other one and wins."""
    stuck = Reluctant()

    with ScriptedServer(stuck, echo) as server:
        policy = pybrpc.BackupRequestPolicy(0.02, max_ratio=1)
        with pybrpc.Channel(
            server.address,
            timeout=60,
            options=SMALL,
            connections=2,
            backup_request_policy=policy,
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request("first"))
            stub.Echo(echo_request("first of the other"))
            controller = pybrpc.Controller()
            controller.backup_request_ms = -1
            controller.request_attachment.append(bytes(1 << 20))
            plug = stub.Echo.future(echo_request("plug"), controller=controller)
            stub.Echo(echo_request("over the other"))
            assert stub.Echo(echo_request("hedged")).message == "hedged"
            stuck.may_read.set()
            plug.result()
    assert [bytes(r.body) for r in server.requests].count(
        echo_request("hedged").SerializeToString()
    ) == 1


class Password:
    def generate_credential(self) -> bytes:
        return b"good"


def test_calls_whose_request_waits_for_the_credential_may_have_run_once_nothing_stops_them() -> (
    None
):
    """The first requests of a connection become bytes together. From then on they are sent, though
    their calls may have ended while not one byte of them had left."""
    may_read = threading.Event()

    def read_late(peer: Peer) -> None:
        may_read.wait()
        peer.echo_until_closed()

    futures: list[concurrent.futures.Future[Any]] = []
    with (
        ScriptedServer(read_late) as server,
        ScriptedServer(echo) as other,
        pybrpc.Channel(server.address, timeout=60, options=SMALL, auth=Password()) as channel,
        pybrpc.Channel(other.address, timeout=60) as other_channel,
    ):
        stub = pybrpc.Stub(ECHO, channel)
        begun = threading.Event()

        def begin(_: Any, error: pybrpc.RpcError | None) -> None:
            # In the dispatcher thread: so all are queued before the connection is established.
            futures.append(stub.Echo.future(echo_request("x" * 8_000_000)))
            futures.extend(stub.Echo.future(echo_request(f"{i}"), timeout=0.5) for i in range(50))
            begun.set()

        pybrpc.Stub(ECHO, other_channel).Echo.with_callback(echo_request(), begin)
        try:
            assert begun.wait(60)
            errors = [future.exception() for future in futures[1:]]
        finally:
            may_read.set()
        futures[0].result()
        stub.Echo(echo_request("last"))
        arrived = {pb.EchoRequest.FromString(bytes(each.body)).message for each in server.requests}
    sent = [error for i, error in enumerate(errors) if f"{i}" in arrived]
    assert sent
    assert {type(error) for error in errors} == {RpcTimeoutError}
    assert all(isinstance(error, RpcTimeoutError) and error.may_have_run for error in sent)
