"""A connection that somebody holds, without a call in flight: no source takes it for unused."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.connections.connection import ClientConnection
from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.short_connections import ShortConnections
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ConnectionFailedError, ErrorCode, RpcError, make_rpc_error
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.sources import FakeClientConnection, SourceHarness

KINDS: dict[str, type[SourceBase]] = {
    "single": SingleConnections,
    "pooled": PooledConnections,
    "short": ShortConnections,
}
IDLE_S = 8.0

every_kind = pytest.mark.parametrize("kind", KINDS)


class Stream:
    """A user of a connection that is no attempt."""

    def __init__(self) -> None:
        self.failures: list[RpcError] = []

    def on_connection_failed(self, connection: ClientConnection, error: RpcError) -> None:
        self.failures.append(error)


def held(step: StepDispatcher, kind: str, **settings: Any) -> tuple[SourceHarness, Stream, Any]:
    """A source with one connection, which a stream took over from the call that opened it."""
    harness = SourceHarness(KINDS[kind], SourceSettings(kind, **settings), step)
    call, stream = harness.start(), Stream()
    (line,) = harness.made
    harness.turn(line.stand)
    line.hold(stream)
    harness.turn(line.answer)
    assert call.ends
    assert (line.in_flight, line.is_held()) == (0, True)
    return harness, stream, line


def is_closed(line: FakeClientConnection) -> bool:
    return line.socket.error is not None


def test_pool_gives_a_held_connection_to_no_call(step: StepDispatcher) -> None:
    pool, stream, line = held(step, "pooled")
    other = pool.start()
    assert [len(line.attempts) for line in pool.made] == [0, 1]
    assert pool.counts() == (2, 0, 2, 0)
    pool.turn(pool.made[1].stand)
    pool.turn(pool.made[1].answer)
    assert other.ends
    pool.turn(lambda: line.release_hold(stream))
    pool.start()
    assert [len(line.attempts) for line in pool.made] == [1, 0]


def test_call_that_waits_for_a_connection_gets_it_when_the_hold_ends(step: StepDispatcher) -> None:
    pool, stream, line = held(step, "pooled", max_pool_size=1)
    call = pool.start()
    assert pool.counts() == (1, 0, 1, 1)
    line.release_hold(stream)
    step.run_until_idle()
    assert [attempt.call for attempt in line.attempts] == [call]


def test_pool_closes_a_connection_whose_hold_leaves_something_to_read(step: StepDispatcher) -> None:
    pool, stream, line = held(step, "pooled")
    pool.turn(lambda: line.release_hold(stream, is_clean=False))
    assert is_closed(line)


def test_pool_that_takes_connections_back_leaves_a_held_one(step: StepDispatcher) -> None:
    pool, _, line = held(step, "pooled")
    pool.source.reclaim(next(iter(pool.source.pool.used.values()), None))  # type: ignore[attr-defined]
    assert not is_closed(line)


def test_short_connection_is_closed_after_its_last_hold(step: StepDispatcher) -> None:
    _, stream, line = held(step, "short")
    assert not is_closed(line)
    line.release_hold(stream)
    assert is_closed(line)


@every_kind
def test_held_connection_is_not_swept(step: StepDispatcher, kind: str) -> None:
    harness, stream, line = held(step, kind, idle_timeout_s=IDLE_S)
    for _ in range(40):
        step.advance(1)
    assert not is_closed(line)
    harness.turn(lambda: line.release_hold(stream))
    for _ in range(40):
        step.advance(1)
    assert is_closed(line)
    assert stream.failures == []


@every_kind
def test_retired_connection_closes_after_its_last_hold(step: StepDispatcher, kind: str) -> None:
    _, stream, line = held(step, kind)
    other = Stream()
    line.hold(other)
    line.retire()
    line.release_hold(stream)
    assert not is_closed(line)
    line.release_hold(other)
    assert is_closed(line)


@every_kind
def test_failure_reaches_each_user_once(step: StepDispatcher, kind: str) -> None:
    _, stream, line = held(step, kind)
    other = Stream()
    line.hold(other)
    line.fail(ErrorCode.EEOF)
    line.fail(ErrorCode.EPIPE)
    step.run_until_idle()
    for user in (stream, other):
        assert [error.code for error in user.failures] == [ErrorCode.EEOF]
    assert not line.is_held()
    line.release_hold(stream)


def test_closed_channel_ends_the_holds(step: StepDispatcher) -> None:
    harness, stream, _ = held(step, "single")
    harness.source.release()
    step.run_until_idle()
    assert [error.code for error in stream.failures] == [ErrorCode.ECLOSE]


def test_user_that_raises_keeps_no_other_from_hearing_of_the_failure() -> None:
    class Raising(Stream):
        def on_connection_failed(self, connection: ClientConnection, error: RpcError) -> None:
            super().on_connection_failed(connection, error)
            raise KeyError

    step = StepDispatcher()
    _, last, line = held(step, "single")
    users = [Raising(), Stream(), Raising(), Stream()]
    for user in users:
        line.hold(user)
    step.post(lambda: line.fail(ErrorCode.EEOF))
    step.run_until_idle()
    assert [len(user.failures) for user in (last, *users)] == [1] * 5
    assert [type(error) for error in step.raised] == [KeyError] * 2


def test_hold_is_released_once(step: StepDispatcher) -> None:
    _, stream, line = held(step, "single")
    line.release_hold(stream)
    with pytest.raises(RuntimeError, match="does not hold"):
        line.release_hold(stream)
    assert not is_closed(line)


def test_user_holds_a_connection_once(step: StepDispatcher) -> None:
    _, stream, line = held(step, "single")
    with pytest.raises(RuntimeError, match="already"):
        line.hold(stream)


def test_failed_connection_can_not_be_held(step: StepDispatcher) -> None:
    _, _, line = held(step, "single")
    line.fail(ErrorCode.EEOF)
    late = Stream()
    with pytest.raises(ConnectionFailedError):
        line.hold(late)
    assert (late.failures, line.is_held()) == ([], False)


@pytest.mark.python_only
def test_failure_between_the_two_steps_of_a_hold_reaches_the_user_once(
    step: StepDispatcher,
) -> None:
    """The user is noted; before `hold` looks for an error, another thread fails the connection."""
    _, _, line = held(step, "single")
    error = make_rpc_error(ErrorCode.EEOF, "broken")

    class FailsWhenAsked:
        dispatcher = step

        @property
        def error(self) -> RpcError:
            line.on_failed(self, error)
            return error

    line.socket = FailsWhenAsked()
    late = Stream()
    line.hold(late)
    assert late.failures == [error]
    assert "held by" not in repr(line)
