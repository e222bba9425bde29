"""Calls through a FaultyProxy: every fault at every interesting byte, in either direction."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    Phase,
    RpcError,
    RpcTimeoutError,
)
from pybrpc.testing.faulty_proxy import (
    CutAt,
    Delay,
    DropFrom,
    Fault,
    Faults,
    FaultyProxy,
    HalfCloseAt,
    Refuse,
    ResetAt,
    Slow,
    Stall,
)
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.protos import conformance_pb2 as pb

every_form = pytest.mark.parametrize("form", FORMS)
both_ways = pytest.mark.parametrize("direction", ["to_server", "to_client"])
one_of_each = pytest.mark.parametrize("form", ["blocking", "uvloop"])

ATTACHMENT = bytes(range(256)) * 2
HEADER_BYTES = 12
HANG_S = 20.0
BROKEN_CODES = frozenset({ErrorCode.EEOF, errno.ECONNRESET, errno.EPIPE})
BROKEN_PHASES = frozenset({Phase.CONNECT, Phase.QUEUED, Phase.SENT, Phase.WAITING})
"""CONNECT: a reset that comes right after the handshake of TCP is told by connect itself."""


class EchoService:
    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    """A proxy before a server that echoes."""
    with pybrpc.Server() as server:
        server.add_service(ECHO, EchoService())
        with FaultyProxy(server.start("127.0.0.1:0")) as proxy:
            yield proxy


def call(client: Any, message: str, **options: Any) -> None:
    """A call with an attachment; what comes back is what was sent."""
    controller = pybrpc.Controller()
    controller.request_attachment = ATTACHMENT
    answer = client.call(echo_request(message), controller=controller, **options)
    assert answer.message == message
    assert bytes(controller.response_attachment) == ATTACHMENT


def interesting_bytes(proxy: FaultyProxy, direction: str) -> list[int]:
    """Where faults shall strike: around the header, in the meta, in the body, at the end."""
    before = getattr(proxy.statistics(), f"bytes_{direction}")
    with caller("blocking", proxy.address) as client:
        call(client, "probe")
    size = getattr(proxy.statistics(), f"bytes_{direction}") - before
    meta = HEADER_BYTES + (size - HEADER_BYTES - len(ATTACHMENT)) // 2
    assert HEADER_BYTES < meta < size
    positions = {0, 1, 4, 8, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1}
    return sorted(positions | {meta, size - len(ATTACHMENT) // 2, size - 1, size})


def assert_explains(error: RpcError, proxy: FaultyProxy) -> None:
    """A connection that broke is told as such."""
    assert isinstance(error, ConnectionFailedError), error
    assert error.code in BROKEN_CODES, error
    assert error.phase in BROKEN_PHASES, error
    assert (error.phase is Phase.CONNECT) is isinstance(error, ConnectError), error
    assert error.peer == proxy.address, error


@every_form
@both_ways
@pytest.mark.parametrize("fault", [CutAt, ResetAt, HalfCloseAt])
def test_a_broken_connection_fails_its_call_and_no_other(
    form: str, direction: str, fault: type[CutAt], proxy: FaultyProxy
) -> None:
    """Without retries the call fails with a typed error, or was answered before the fault."""
    positions = interesting_bytes(proxy, direction)
    errors: list[RpcError] = []
    for position in positions:
        with caller(form, proxy.address, max_retry=0) as client:
            proxy.set_next(Faults(**{direction: [fault(position)]}))
            errors += errors_of_call(client, f"at {position}")
            call_until_it_works(client)
    for error in errors:
        assert_explains(error, proxy)
    # Only what strikes at the last byte may come too late.
    assert len(errors) >= len(positions) - 1


def errors_of_call(client: Any, message: str, **options: Any) -> list[RpcError]:
    """One, or none if the call was answered, rightly."""
    try:
        call(client, message, **options)
    except RpcError as error:
        return [error]
    return []


def call_until_it_works(client: Any) -> None:
    """The channel works again; at once, or when it has noticed what had happened."""
    end = time.monotonic() + HANG_S
    while errors := errors_of_call(client, "afterwards"):
        assert isinstance(errors[0], ConnectionFailedError), errors
        assert time.monotonic() < end, errors
        time.sleep(0.01)


@one_of_each
@both_ways
@pytest.mark.parametrize("fault", [CutAt, ResetAt, HalfCloseAt])
def test_a_broken_connection_is_retried(
    form: str, direction: str, fault: type[CutAt], proxy: FaultyProxy
) -> None:
    for position in interesting_bytes(proxy, direction):
        with caller(form, proxy.address, max_retry=3) as client:
            proxy.set_next(Faults(**{direction: [fault(position)]}))
            call(client, f"at {position}")


@one_of_each
@both_ways
@pytest.mark.parametrize("fault", [DropFrom, Stall])
def test_bytes_that_never_arrive_end_in_a_timeout(
    form: str, direction: str, fault: type[Stall], proxy: FaultyProxy
) -> None:
    positions = interesting_bytes(proxy, direction)[::2]
    errors: list[RpcError] = []
    for position in positions:
        with caller(form, proxy.address) as client:
            proxy.set_next(Faults(**{direction: [fault(position)]}))
            errors += errors_of_call(client, f"at {position}", timeout=0.1)
            proxy.reset_all()
            call_until_it_works(client)
    for error in errors:
        assert isinstance(error, RpcTimeoutError)
        assert (error.phase, error.peer) == (Phase.WAITING, proxy.address)
    assert len(errors) >= len(positions) - 1


@one_of_each
@both_ways
def test_what_comes_after_a_stall_disturbs_nobody(
    form: str, direction: str, proxy: FaultyProxy
) -> None:
    """The answer to a call that had timed out comes late and is dropped."""
    for position in interesting_bytes(proxy, direction)[:-1:2]:
        with caller(form, proxy.address) as client:
            proxy.set_next(Faults(**{direction: [Stall(position)]}))
            with pytest.raises(RpcTimeoutError):
                call(client, f"at {position}", timeout=0.05)
            proxy.resume()
            call(client, "afterwards")


@one_of_each
@both_ways
@pytest.mark.parametrize(
    "fault",
    [Slow(60_000, chunk_bytes=7), Delay(0.02), Stall(13, seconds=0.05), Slow(1e9)],
    ids=["slow", "delay", "stall", "byte by byte"],
)
def test_a_slow_connection_only_takes_longer(
    form: str, direction: str, fault: Fault, proxy: FaultyProxy
) -> None:
    proxy.plan = Faults(**{direction: [fault]})
    with caller(form, proxy.address, max_retry=0) as client:
        for number in range(3):
            call(client, f"slow {number}")
    assert proxy.statistics().accepted == 1


@every_form
@pytest.mark.parametrize("resets", [True, False])
def test_a_connection_that_is_refused_after_it_was_accepted(
    form: str, resets: bool, proxy: FaultyProxy
) -> None:
    with caller(form, proxy.address, max_retry=0) as client:
        proxy.set_next(Faults(refuse=Refuse(resets)))
        with pytest.raises(ConnectionFailedError) as caught:
            call(client, "refused")
        assert_explains(caught.value, proxy)
        call_until_it_works(client)
    with caller(form, proxy.address, max_retry=3) as client:
        proxy.set_next(Faults(refuse=Refuse(resets)), Faults(refuse=Refuse(resets)))
        call(client, "retried")


@every_form
def test_a_server_that_goes_and_comes_back(form: str, proxy: FaultyProxy) -> None:
    with caller(form, proxy.address, max_retry=0) as client:
        call(client, "before")
        proxy.stop_accepting()
        proxy.reset_all()
        with pytest.raises(ConnectionFailedError) as first:
            call(client, "gone")
        with pytest.raises(ConnectionFailedError) as second:
            call(client, "gone")
        proxy.start_accepting()
        call_until_it_works(client)
    assert first.value.code in (*BROKEN_CODES, errno.ECONNREFUSED)
    assert (second.value.code, second.value.phase) == (errno.ECONNREFUSED, Phase.CONNECT)


@every_form
@both_ways
@pytest.mark.parametrize("fault", [CutAt, ResetAt, HalfCloseAt])
def test_calls_beside_it_are_each_told_once(
    form: str, direction: str, fault: type[CutAt], proxy: FaultyProxy
) -> None:
    """Twenty calls on a connection that breaks in the middle of them: all are answered, by
    connections that came after."""
    size = interesting_bytes(proxy, direction)[-1]
    with caller(form, proxy.address, max_retry=3) as client:
        proxy.set_next(Faults(**{direction: [fault(size // 3)]}))
        requests = [echo_request(f"call {number}") for number in range(20)]
        answers = client.call_many(requests)
    assert [answer.message for answer in answers] == [request.message for request in requests]
