"""SingleConnections and ShortConnections: which connection a call gets, step by step."""

from __future__ import annotations

import pytest

from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.short_connections import ShortConnections
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.errors import ErrorCode
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.connections import make_call
from tests.fakes.sources import SourceHarness


def make_single(step: StepDispatcher, connections: int = 1) -> SourceHarness:
    settings = SourceSettings(connections=connections, dial_backoff=None)
    return SourceHarness(SingleConnections, settings, step)


def make_short(step: StepDispatcher) -> SourceHarness:
    return SourceHarness(ShortConnections, SourceSettings("short", dial_backoff=None), step)


def test_calls_share_one_connection(step: StepDispatcher) -> None:
    single = make_single(step)
    for _ in range(5):
        single.start()
    assert [line.in_flight for line in single.made] == [5]


def test_parallel_connections_are_taken_in_turn(step: StepDispatcher) -> None:
    single = make_single(step, 3)
    for _ in range(9):
        single.start()
    assert [line.in_flight for line in single.made] == [3, 3, 3]


def test_broken_connection_is_replaced(step: StepDispatcher) -> None:
    single = make_single(step, 2)
    calls = [single.start() for _ in range(4)]
    single.turn(lambda: single.made[0].fail(ErrorCode.EEOF))
    assert [line.in_flight for line in single.made] == [0, 2, 2]
    assert not any(call.ends for call in calls)
    assert single.source.statistics().created == 3


@pytest.mark.parametrize("is_replaced_already", [False, True])
def test_retry_takes_the_newest_connection(step: StepDispatcher, is_replaced_already: bool) -> None:
    """A server that stops has met all of them: one retry must be enough."""
    single = make_single(step, 6)
    calls = [single.start(max_retry=1) for _ in range(6)]
    for line in single.made:
        line.stand()
    if is_replaced_already:
        for index in (0, 1):
            single.turn(single.made[index].log_off_caller)
        assert [line.in_flight for line in single.made[6:]] == [1, 1]
    for line in list(single.made):
        if line.socket.error is None and line.in_flight and line.socket.is_connected:
            single.turn(line.log_off_caller)
    assert all(line.socket.error is not None for line in single.made[:6])
    for line in single.made[6:]:
        while line.in_flight:
            single.turn(line.answer)
    assert [call.error for call in calls] == [None] * 6


def test_backup_takes_another_connection_if_there_is_one(step: StepDispatcher) -> None:
    single = make_single(step, 2)
    single.start()
    (used,) = single.made
    connection_for_backup = single.source.connection_for_backup(make_call(single.source), used)
    assert connection_for_backup is not None
    assert connection_for_backup is not used
    alone = make_single(step)
    alone.start()
    assert (
        alone.source.connection_for_backup(make_call(alone.source), alone.made[0]) is alone.made[0]
    )


def test_retired_connection_is_closed_when_its_calls_have_ended(step: StepDispatcher) -> None:
    single = make_single(step)
    call = single.start()
    single.made[0].stand()
    single.source.retire(single.made[0])
    other = single.start()
    assert [line.in_flight for line in single.made] == [1, 1]
    single.made[0].retire()
    single.turn(single.made[0].answer)
    assert call.error is None
    assert single.made[0].socket.error is None or single.made[0].in_flight == 0
    assert not other.ends


def test_connections_are_closed_by_the_last_user(step: StepDispatcher) -> None:
    single = make_single(step, 2)
    calls = [single.start(max_retry=0) for _ in range(2)]
    single.source.release()
    step.run_until_idle()
    assert [call.error and call.error.code for call in calls] == [ErrorCode.ECLOSE] * 2
    assert single.counts() == (2, 2, 0, 0)


def test_short_connection_is_closed_after_the_response(step: StepDispatcher) -> None:
    short = make_short(step)
    first, second = short.start(), short.start()
    short.made[0].stand()
    short.turn(short.made[0].answer)
    assert (bool(first.ends), bool(second.ends)) == (True, False)
    assert [line.socket.error is None for line in short.made] == [False, True]
    assert short.counts() == (2, 1, 1, 0)


def test_short_connection_is_closed_after_a_cancellation(step: StepDispatcher) -> None:
    short = make_short(step)
    call = short.start()
    short.made[0].stand()
    call.abort(call.canceled_error())
    assert short.counts() == (1, 1, 0, 0)


def test_each_retry_has_a_short_connection_of_its_own(step: StepDispatcher) -> None:
    short = make_short(step)
    call = short.start(max_retry=2)
    for index in range(2):
        short.made[index].stand()
        short.turn(lambda: short.made[-1].fail(ErrorCode.EEOF))
    short.made[2].stand()
    short.turn(short.made[2].answer)
    assert call.error is None
    assert short.counts() == (3, 3, 0, 0)
