"""Calls over TLS through a FaultyProxy: the handshake and the records may break at any byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ConnectionFailedError, Phase, RpcError, RpcTimeoutError
from pybrpc.testing.faulty_proxy import (
    CutAt,
    Delay,
    DropFrom,
    Fault,
    Faults,
    FaultyProxy,
    HalfCloseAt,
    ResetAt,
    Slow,
    Stall,
)
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb

both_ways = pytest.mark.parametrize("direction", ["to_server", "to_client"])
some_forms = pytest.mark.parametrize("form", ["blocking", "uvloop"])

ATTACHMENT = bytes(range(256)) * 16
IN_HANDSHAKE = (0, 1, 5, 100)
"""Before the handshake is over in either direction."""
HANG_S = 20.0


class EchoService:
    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    with pybrpc.Server(tls=certificates().server_tls()) as server:
        server.add_service(ECHO, EchoService())
        with FaultyProxy(server.start("127.0.0.1:0")) as proxy:
            yield proxy


def tls_caller(form: str, proxy: FaultyProxy, **options: Any) -> Any:
    return caller(form, proxy.address, tls=certificates().client_tls(), **options)


def errors_of_call(client: Any, **options: Any) -> list[RpcError]:
    """One, or none if the call was answered, rightly."""
    controller = pybrpc.Controller()
    controller.request_attachment = ATTACHMENT
    try:
        answer = client.call(echo_request("hello"), controller=controller, **options)
    except RpcError as error:
        return [error]
    assert answer.message == "hello"
    assert bytes(controller.response_attachment) == ATTACHMENT
    return []


def call_until_it_works(client: Any) -> None:
    end = time.monotonic() + HANG_S
    while errors := errors_of_call(client):
        assert isinstance(errors[0], ConnectionFailedError), errors
        assert time.monotonic() < end, errors
        time.sleep(0.01)


def late_bytes(proxy: FaultyProxy, direction: str) -> list[int]:
    """Inside the records of a call. Signatures in a handshake differ by some bytes in length."""
    with tls_caller("blocking", proxy) as client:
        assert errors_of_call(client) == []
        size = getattr(proxy.statistics(), f"bytes_{direction}")
    return [size - len(ATTACHMENT), size - len(ATTACHMENT) // 2, size - 100]


@some_forms
@both_ways
@pytest.mark.parametrize("fault", [CutAt, ResetAt, HalfCloseAt])
def test_a_broken_tls_connection_fails_its_call_and_no_other(
    form: str, direction: str, fault: type[CutAt], proxy: FaultyProxy
) -> None:
    for position in (*IN_HANDSHAKE, *late_bytes(proxy, direction)):
        with tls_caller(form, proxy, max_retry=0) as client:
            proxy.set_next(Faults(**{direction: [fault(position)]}))
            [error] = errors_of_call(client)
            assert isinstance(error, ConnectionFailedError), error
            assert error.peer == proxy.address, error
            if position in IN_HANDSHAKE:
                assert error.phase in (Phase.CONNECT, Phase.HANDSHAKE), error
            else:
                assert error.phase in (Phase.SENT, Phase.WAITING), error
            call_until_it_works(client)


@some_forms
@both_ways
@pytest.mark.parametrize("fault", [DropFrom, Stall])
def test_tls_bytes_that_never_arrive_end_in_a_timeout(
    form: str, direction: str, fault: type[Stall], proxy: FaultyProxy
) -> None:
    """In the handshake too: the deadline of the call is before that of connecting."""
    for position in (5, late_bytes(proxy, direction)[1]):
        with tls_caller(form, proxy) as client:
            proxy.set_next(Faults(**{direction: [fault(position)]}))
            [error] = errors_of_call(client, timeout=0.1)
            assert isinstance(error, RpcTimeoutError), error
            proxy.reset_all()
            call_until_it_works(client)


@some_forms
@both_ways
@pytest.mark.parametrize(
    "fault",
    [Slow(500_000, chunk_bytes=50), Delay(0.02), Stall(7, seconds=0.05), Slow(1e9)],
    ids=["slow", "delay", "stall", "byte by byte"],
)
def test_a_slow_tls_connection_only_takes_longer(
    form: str, direction: str, fault: Fault, proxy: FaultyProxy
) -> None:
    proxy.plan = Faults(**{direction: [fault]})
    with tls_caller(form, proxy, max_retry=0, connect_timeout=HANG_S) as client:
        for _ in range(3):
            assert errors_of_call(client) == []
    assert proxy.statistics().accepted == 1
