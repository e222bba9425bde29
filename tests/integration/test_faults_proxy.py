"""Calls through a FaultyProxy, plain and over TLS: every fault at every interesting byte of a
connection, in either direction."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    HandshakeError,
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
    HalfCloseAt,
    Refuse,
    ResetAt,
    Slow,
    Stall,
)
from tests.peers.callers import FORMS
from tests.peers.echo import echo_request
from tests.peers.proxied_echo import ATTACHMENT, HANG_S, ProxiedEcho, proxied_echo

ONE_OF_EACH = ("blocking", "uvloop")
ONE_OF_EACH_DISPATCHER = ("blocking", "asyncio", "uvloop")

plain_and_tls = pytest.mark.parametrize("echo", ["plain", "tls"], indirect=True)
both_ways = pytest.mark.parametrize("direction", ["to_server", "to_client"])
breaking = pytest.mark.parametrize("fault", [CutAt, ResetAt, HalfCloseAt])
one_of_each = pytest.mark.parametrize("form", ONE_OF_EACH)
every_form = pytest.mark.parametrize(
    ("form", "echo"),
    [
        *((form, "plain") for form in FORMS),
        *((form, "tls") for form in ONE_OF_EACH_DISPATCHER),
    ],
    indirect=["echo"],
)

BROKEN_CODES = frozenset({ErrorCode.EEOF, errno.ECONNRESET, errno.EPIPE})
BROKEN_PHASES = frozenset({Phase.CONNECT, Phase.QUEUED, Phase.SENT, Phase.WAITING})
"""CONNECT: a reset that comes right after the handshake of TCP is reported by connect itself."""
TLS_PHASES = BROKEN_PHASES | {Phase.HANDSHAKE}
CLASSES = {Phase.CONNECT: ConnectError, Phase.HANDSHAKE: HandshakeError}


@pytest.fixture
def echo(request: pytest.FixtureRequest) -> Iterator[ProxiedEcho]:
    with proxied_echo(is_tls=request.param == "tls") as echo:
        yield echo


def assert_explains(error: RpcError, echo: ProxiedEcho) -> None:
    """The error must say that the connection broke."""
    assert isinstance(error, ConnectionFailedError), error
    assert error.code in BROKEN_CODES, error
    assert error.phase in (TLS_PHASES if echo.is_tls else BROKEN_PHASES), error
    for phase, kind in CLASSES.items():
        assert (error.phase is phase) is isinstance(error, kind), error
    assert error.peer == echo.proxy.address, error


@every_form
@both_ways
@breaking
def test_a_broken_connection_fails_its_call_and_no_other(
    form: str, echo: ProxiedEcho, direction: str, fault: type[CutAt]
) -> None:
    """Without retries the call fails with a typed error, or was answered before the fault."""
    positions = echo.interesting_bytes(direction)
    errors: list[RpcError] = []
    for position in positions:
        with echo.caller(form, max_retry=0) as client:
            echo.proxy.set_next(Faults(**{direction: [fault(position)]}))
            errors += echo.errors_of_call(client, f"at {position}")
            echo.call_until_it_works(client)
    for error in errors:
        assert_explains(error, echo)
    # Only what strikes at the last bytes may come too late.
    assert len(errors) >= len(positions) - (2 if echo.is_tls else 1)
    assert echo.proxy.statistics().faults == {fault.__name__: len(positions)}


@pytest.mark.parametrize("echo", ["tls"], indirect=True)
@pytest.mark.parametrize("form", ONE_OF_EACH_DISPATCHER)
@both_ways
@breaking
def test_phase_says_whether_the_handshake_was_over(
    form: str, echo: ProxiedEcho, direction: str, fault: type[CutAt]
) -> None:
    size = echo.bytes_of_first_call(direction)
    for phases, positions in (
        ({Phase.CONNECT, Phase.HANDSHAKE}, (0, 1, 5, 100)),
        ({Phase.SENT, Phase.WAITING}, (size - len(ATTACHMENT), size - 100)),
    ):
        for position in positions:
            with echo.caller(form, max_retry=0) as client:
                echo.proxy.set_next(Faults(**{direction: [fault(position)]}))
                [error] = echo.errors_of_call(client, "hello")
                assert error.phase in phases, error


@plain_and_tls
@one_of_each
@both_ways
@breaking
def test_a_broken_connection_is_retried(
    form: str, echo: ProxiedEcho, direction: str, fault: type[CutAt]
) -> None:
    for position in echo.interesting_bytes(direction):
        with echo.caller(form, **echo.retrying) as client:
            echo.proxy.set_next(Faults(**{direction: [fault(position)]}))
            echo.call(client, f"at {position}")


@plain_and_tls
@one_of_each
@both_ways
@pytest.mark.parametrize("fault", [DropFrom, Stall])
def test_bytes_that_never_arrive_end_in_a_timeout(
    form: str, echo: ProxiedEcho, direction: str, fault: type[Stall]
) -> None:
    """In a handshake too: the deadline of the call is before that of connecting."""
    positions = echo.interesting_bytes(direction)[::2]
    errors: list[RpcError] = []
    for position in positions:
        with echo.caller(form) as client:
            echo.proxy.set_next(Faults(**{direction: [fault(position)]}))
            errors += echo.errors_of_call(client, f"at {position}", timeout=0.1)
            echo.proxy.reset_all()
            echo.call_until_it_works(client)
    for error in errors:
        assert isinstance(error, RpcTimeoutError)
        assert error.phase in TLS_PHASES
        assert error.peer == echo.proxy.address
    assert Phase.WAITING in {error.phase for error in errors}
    assert len(errors) >= len(positions) - 1


def call_until_stalled(echo: ProxiedEcho, client: Any, faults: Faults) -> None:
    """Calls that time out, until the stall has struck; on a busy machine the first one may have
    ended before it was sent."""
    before = echo.proxy.statistics().faults.get("Stall", 0)
    echo.proxy.set_next(faults)
    end = time.monotonic() + HANG_S
    while echo.proxy.statistics().faults.get("Stall", 0) == before:
        with pytest.raises(RpcTimeoutError):
            echo.call(client, "stalled", timeout=0.05)
        assert time.monotonic() < end


@plain_and_tls
@one_of_each
@both_ways
def test_response_after_a_stall_disturbs_no_other_call(
    form: str, echo: ProxiedEcho, direction: str
) -> None:
    """The answer to a call that had timed out comes late and is dropped."""
    for position in echo.interesting_bytes(direction)[:-2:2]:
        with echo.caller(form) as client:
            call_until_stalled(echo, client, Faults(**{direction: [Stall(position)]}))
            echo.proxy.resume()
            echo.call(client, "afterwards")


@plain_and_tls
@one_of_each
@both_ways
@pytest.mark.parametrize(
    "fault",
    [Slow(60_000, chunk_bytes=7), Delay(0.02), Stall(13, seconds=0.05), Slow(1e9)],
    ids=["slow", "delay", "stall", "byte by byte"],
)
def test_a_slow_connection_only_takes_longer(
    form: str, echo: ProxiedEcho, direction: str, fault: Fault
) -> None:
    echo.proxy.plan = Faults(**{direction: [fault]})
    with echo.caller(form, max_retry=0) as client:
        for number in range(3):
            echo.call(client, f"slow {number}")
    assert echo.proxy.statistics().accepted == 1


@every_form
@pytest.mark.parametrize("resets", [True, False])
def test_a_connection_that_is_refused_after_it_was_accepted(
    form: str, echo: ProxiedEcho, resets: bool
) -> None:
    refused = Faults(refuse=Refuse(resets))
    with echo.caller(form, max_retry=0) as client:
        echo.proxy.set_next(refused)
        [error] = echo.errors_of_call(client, "refused")
        assert_explains(error, echo)
        echo.call_until_it_works(client)
    with echo.caller(form, **echo.retrying) as client:
        echo.proxy.set_next(refused, refused)
        echo.call(client, "retried")


@every_form
def test_a_server_that_goes_and_comes_back(form: str, echo: ProxiedEcho) -> None:
    with echo.caller(form, max_retry=0) as client:
        echo.call(client, "before")
        echo.proxy.stop_accepting()
        echo.proxy.reset_all()
        [first] = echo.errors_of_call(client, "gone")
        [second] = echo.errors_of_call(client, "gone")
        echo.proxy.start_accepting()
        echo.call_until_it_works(client)
    assert first.code in (*BROKEN_CODES, errno.ECONNREFUSED)
    assert (second.code, second.phase) == (errno.ECONNREFUSED, Phase.CONNECT)


@every_form
@both_ways
@breaking
def test_calls_beside_it_are_each_told_once(
    form: str, echo: ProxiedEcho, direction: str, fault: type[CutAt]
) -> None:
    """Twenty calls on a connection that breaks in the middle of them: all are answered, by
    connections that came after."""
    size = echo.bytes_of_first_call(direction)
    for position in (size // 3, size - len(ATTACHMENT) + 200):
        with echo.caller(form, **echo.retrying) as client:
            echo.proxy.set_next(Faults(**{direction: [fault(position)]}))
            requests = [echo_request(f"call {number}") for number in range(20)]
            answers = client.call_many(requests)
        assert [answer.message for answer in answers] == [each.message for each in requests]
    assert echo.proxy.statistics().faults == {fault.__name__: 2}
