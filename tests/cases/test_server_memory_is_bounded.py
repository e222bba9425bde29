"""The memory that peers can make a server keep is counted and limited."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import threading
import time
from typing import Any

import pytest

import pybrpc
from pybrpc.protocols.message import StreamSettings
from pybrpc.rpc.compress import CompressType, compress
from tests.cases.child import run_in_child
from tests.cases.peers import LATE_S, PATIENT_S, echo_stub, serving, wait_for, waited_for
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, packed, request
from tests.peers.serving import start
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb

MIB = 1 << 20
PEERS, WORKERS = 40, 2


class NeverAnswers:
    """Plain calls end when `over` is set; async ones only when they are cancelled."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.running = 0

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.over.wait(PATIENT_S)
        return pb.EchoResponse(message="")

    async def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.running += 1
        try:
            await asyncio.sleep(PATIENT_S)
        finally:
            self.running -= 1
        return pb.EchoResponse(message="")


@pytest.mark.parametrize(("method", "most"), [("Echo", WORKERS), ("Stream", 0)])
def test_calls_of_a_connection_that_was_reset_leave_the_server(method: str, most: int) -> None:
    service = NeverAnswers()
    server = pybrpc.Server(max_workers=WORKERS)
    server.add_service(ECHO, service)
    endpoint = start(server)
    try:
        for count in range(1, PEERS + 1):
            with RawPeer(endpoint) as peer:
                peer.send(*(request(i, method, message="x" * 28_000) for i in range(2)))
                wait_for(lambda c=count: server.statistics().requests >= 2 * c)
                peer.reset()
        waited_for(lambda: server.statistics().running <= most, LATE_S)
        assert server.statistics().running <= most
        assert service.running == 0
    finally:
        service.over.set()
        server.stop(0)
        server.join()


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / MIB


LONG_METAS: dict[str, Any] = {
    "credential": {"credential": b"c" * (MIB - 400)},
    "checksum_value": {"checksum_value": b"c" * (MIB - 400)},
    "ids": {"stream_settings": StreamSettings(1, extra_stream_ids=(1,) * 200_000)},
}


def memory_of_requests_with_long_metas(what: str) -> float:
    """MiB that sixty unanswered requests, each with a meta of nearly one MiB, add to a server.

    It may keep 8 MiB of unanswered requests.
    """
    data = packed(request(1, **LONG_METAS[what]))
    server = pybrpc.Server(max_unanswered_bytes=8 * MIB)
    server.add_service(ECHO, NeverAnswers())
    peer = RawPeer(start(server))
    peer.sock.settimeout(1)
    before = resident_mib()
    with contextlib.suppress(TimeoutError):
        for _ in range(60):
            peer.sock.sendall(data)
    waited_for(lambda: server.statistics().requests == 60, 1)
    return resident_mib() - before


@pytest.mark.parametrize("what", LONG_METAS)
def test_all_fields_of_a_meta_count_as_memory_of_the_request(what: str) -> None:
    assert run_in_child(memory_of_requests_with_long_metas, what) < 40


BOMBS = 16


def peak_of_bombs_that_come_at_once() -> float:
    """MiB that bombs of 30 MiB, on as many connections, add to a server that may keep 32 MiB."""
    body = compress(echo_request("z" * (30 * MIB)).SerializeToString(), CompressType.GZIP)
    data = packed(request(1, body=body, compress_type=CompressType.GZIP))
    server = pybrpc.Server(max_unanswered_bytes=32 * MIB)
    service = NeverAnswers()
    server.add_service(ECHO, service)
    endpoint = start(server)
    peers = [RawPeer(endpoint) for _ in range(BOMBS)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for peer in peers:
        peer.sock.sendall(data)
    waited_for(lambda: server.statistics().errors >= BOMBS - 2, PATIENT_S)
    errors = server.statistics().errors
    service.over.set()
    codes = sorted({peer.read_answer().error_code for peer in peers})
    assert (errors >= BOMBS - 2, codes) == (True, [0, pybrpc.ErrorCode.EOVERCROWDED])
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def test_bombs_that_come_at_once_share_the_limit() -> None:
    assert run_in_child(peak_of_bombs_that_come_at_once) < 5 * 30


def memory_of_idle_tls_connections(sent_bytes: int, answered_bytes: int) -> float:
    """MiB that each connection keeps, at both of its ends, after one large message.

    What the process keeps for large messages, whatever carried them, is not counted: other
    connections have carried some before.
    """
    count = 40
    with serving(tls=certificates().server_tls()) as address:
        stubs = [
            echo_stub(address, tls=certificates().client_tls(), connection_group=str(i))
            for i in range(count + 8)
        ]
        for stub in stubs[count:]:
            stub.Echo(echo_request("x" * sent_bytes, reply_bytes=answered_bytes))
        for stub in stubs[:count]:
            stub.Echo(echo_request())
        gc.collect()
        before = resident_mib()
        for stub in stubs[:count]:
            stub.Echo(echo_request("x" * sent_bytes, reply_bytes=answered_bytes))
        time.sleep(0.5)
        gc.collect()
        return (resident_mib() - before) / count


@pytest.mark.parametrize(("sent", "answered"), [(3_000_000, 1), (1, 3_000_000)])
def test_idle_tls_connection_keeps_little_after_a_large_message(sent: int, answered: int) -> None:
    assert run_in_child(memory_of_idle_tls_connections, sent, answered) < 0.4
