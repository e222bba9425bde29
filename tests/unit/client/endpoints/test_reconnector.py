"""Reconnector: what happens while an endpoint is down, by a fake clock."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.client.endpoints.health_check import HealthCheck
from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.short_connections import ShortConnections
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.errors import ErrorCode, Phase
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from tests.fakes.client_socket import FakeSocket
from tests.fakes.sources import SourceHarness
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

KINDS = {"single": SingleConnections, "pooled": PooledConnections, "short": ShortConnections}
EVERY_SECOND = Backoff(first_s=1, factor=1, max_s=1, jitter=0)
DOUBLING = Backoff(first_s=1, factor=2, max_s=8, jitter=0)
CHECK = HealthCheck(ECHO.methods_by_name["Echo"], pb.EchoRequest(message="well?"))

every_kind = pytest.mark.parametrize("kind", KINDS)


def make_source(
    step: StepDispatcher,
    kind: str = "single",
    backoff: Backoff | None = EVERY_SECOND,
    check: HealthCheck | None = None,
    **settings: Any,
) -> SourceHarness:
    made = SourceSettings(kind, dial_backoff=backoff, health_check=check, **settings)
    return SourceHarness(KINDS[kind], made, step)


def is_down(harness: SourceHarness) -> bool:
    return harness.source.statistics().is_down


@every_kind
def test_endpoint_is_down_after_a_refused_call_and_the_next_calls_fail_at_once(
    step: StepDispatcher, kind: str
) -> None:
    harness = make_source(step, kind)
    harness.go_down()
    call = harness.start()
    (error,) = call.ends
    assert (error.code, error.phase) == (errno.ECONNREFUSED, Phase.CONNECT)
    assert call.retried_count == 0
    assert len(harness.made) == 1


@every_kind
def test_dialled_connection_serves_waiting_and_new_calls(step: StepDispatcher, kind: str) -> None:
    harness = make_source(step, kind)
    harness.go_down()
    waiting = [harness.start(wait_for_ready=True) for _ in range(3)]
    step.run_until_idle()
    assert harness.counts() == (1, 1, 0, 3)
    step.advance(1)
    assert harness.made[1].socket.connects == 1  # type: ignore[attr-defined]
    harness.turn(harness.made[1].stand)
    assert not is_down(harness)
    while any(line.in_flight for line in harness.made):
        for line in list(harness.made):
            if line.in_flight:
                harness.turn(line.answer)
    assert [call.error for call in waiting] == [None] * 3


def test_dials_follow_the_backoff_one_at_a_time(step: StepDispatcher) -> None:
    harness = make_source(step, backoff=DOUBLING)
    harness.go_down()
    for number, pause_s in enumerate([1, 2, 4, 8, 8], start=1):
        step.advance(pause_s - 0.01)
        assert len(harness.made) == number
        step.advance(0.01)
        assert len(harness.made) == number + 1
        step.advance(100)
        assert len(harness.made) == number + 1, "the dial is under way"
        harness.turn(harness.made[-1].refuse)


@pytest.mark.parametrize("kind", [MemoryError, OSError, SystemExit])
@pytest.mark.parametrize("part", ["make_for", "start_write"])
def test_dial_that_raises_is_a_dial_that_failed(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch, part: str, kind: type[BaseException]
) -> None:
    harness = make_source(step)
    harness.go_down()
    raised: list[object] = []

    def raise_it(*_: object) -> None:
        raised.append(part)
        raise kind("odd")

    with monkeypatch.context() as patch:
        owner = SingleConnections if part == "make_for" else FakeSocket
        patch.setattr(owner, part, raise_it)
        step.advance(1)
    assert raised == [part]
    why = harness.source.why_down
    assert why is not None
    assert "odd" in why.text
    assert "next dial in 1.0 s" in why.text
    step.advance(1)
    harness.turn(harness.made[-1].stand)
    assert not is_down(harness)


def test_many_connections_that_fail_plan_one_dial(step: StepDispatcher) -> None:
    harness = make_source(step, "pooled")
    for _ in range(5):
        harness.start(max_retry=0)
    for line in list(harness.made):
        harness.turn(line.refuse)
    step.advance(1)
    assert len(harness.made) == 6


@every_kind
def test_unused_source_dials_nothing(step: StepDispatcher, kind: str) -> None:
    harness = make_source(step, kind)
    harness.go_down()
    harness.source.release()
    step.advance(100)
    assert len(harness.made) == 1
    assert not is_down(harness)


def test_dial_ends_when_the_last_user_leaves(step: StepDispatcher) -> None:
    harness = make_source(step)
    harness.go_down()
    step.advance(1)
    harness.source.release()
    assert harness.made[1].socket.error is not None
    step.advance(100)
    assert len(harness.made) == 2


def test_connection_of_a_call_brings_the_endpoint_up(step: StepDispatcher) -> None:
    """brpc#2395: a retry that has paused dials itself."""
    often = RetryPolicy(backoff=Backoff(first_s=0.001, factor=1, max_s=0.001))
    harness = make_source(step)
    call = harness.start(retry=often)
    harness.turn(harness.made[0].refuse)
    assert is_down(harness)
    call._place.try_claim()  # type: ignore[union-attr]
    call.on_pause_over()
    assert len(harness.made) == 2
    harness.turn(harness.made[1].stand)
    assert not is_down(harness)
    step.advance(100)
    assert len(harness.made) == 2


def test_endpoint_without_a_dial_backoff_is_never_down(step: StepDispatcher) -> None:
    harness = make_source(step, backoff=None)
    for number in range(1, 4):
        call = harness.start(max_retry=0)
        harness.turn(harness.made[-1].refuse)
        assert call.ends
        assert not is_down(harness)
        assert len(harness.made) == number
    step.advance(100)
    assert len(harness.made) == 3


def test_established_connection_that_breaks_does_not_bring_the_endpoint_down(
    step: StepDispatcher,
) -> None:
    harness = make_source(step)
    harness.start(max_retry=0)
    harness.made[0].stand()
    harness.turn(lambda: harness.made[0].fail(ErrorCode.EEOF))
    assert not is_down(harness)
    harness.start()
    assert len(harness.made) == 2


def test_endpoint_is_up_after_a_fork_and_is_not_dialled(step: StepDispatcher) -> None:
    harness = make_source(step)
    harness.go_down()
    harness.source.after_fork()
    assert not is_down(harness)
    step.advance(100)
    assert len(harness.made) == 1


def test_calls_that_wait_need_no_turn_each(step: StepDispatcher) -> None:
    """Ten thousand that wait must not be looked through ten thousand times."""
    harness = make_source(step)
    harness.go_down()
    before = step.steps
    for _ in range(1000):
        harness.start(wait_for_ready=True)
    step.run_until_idle()
    assert step.steps - before < 10


# --- with a check ---


def check_under_way(step: StepDispatcher, kind: str = "single") -> SourceHarness:
    harness = make_source(step, kind, check=CHECK)
    harness.go_down()
    step.advance(1)
    harness.turn(harness.made[1].stand)
    assert harness.made[1].in_flight == 1
    assert is_down(harness)
    return harness


@every_kind
def test_health_check_that_passes_brings_the_endpoint_up(step: StepDispatcher, kind: str) -> None:
    harness = check_under_way(step, kind)
    harness.turn(lambda: harness.made[1].answer(pb.EchoResponse(message="well")))
    assert not is_down(harness)
    assert (harness.made[1].socket.error is None) is (kind != "short")


def test_health_check_with_a_bad_response_leaves_the_endpoint_down(step: StepDispatcher) -> None:
    harness = check_under_way(step)
    harness.turn(harness.made[1].answer)  # it lacks the required field
    assert is_down(harness)
    assert harness.made[1].socket.error is not None
    (error,) = harness.start().ends
    assert error.code == errno.EHOSTDOWN


@pytest.mark.parametrize("code", [ErrorCode.EEOF, errno.ECONNRESET])
def test_connection_that_breaks_under_the_check_counts_as_a_host_that_is_down(
    step: StepDispatcher, code: int
) -> None:
    harness = check_under_way(step)
    harness.turn(lambda: harness.made[1].fail(code))
    (error,) = harness.start().ends
    assert error.code == errno.EHOSTDOWN
    assert "Fail to check the health of" in error.text
    step.advance(1)
    assert len(harness.made) == 3, "and is dialled again"


def test_refused_dial_reports_its_own_error(step: StepDispatcher) -> None:
    harness = make_source(step, check=CHECK)
    harness.go_down()
    step.advance(1)
    harness.turn(harness.made[1].refuse)
    assert harness.start().ends[0].code == errno.ECONNREFUSED


def test_health_check_ends_when_the_last_user_leaves(step: StepDispatcher) -> None:
    harness = check_under_way(step)
    harness.source.release()
    step.advance(100)
    assert harness.made[1].socket.error is not None
    assert len(harness.made) == 2
    assert not is_down(harness)


# --- what happens in between ---


def refuse_timers(step: StepDispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a dispatcher that is closed."""

    def call_at(deadline: float, function: Any) -> None:
        raise DispatcherClosedError("closed")

    monkeypatch.setattr(step, "call_at", call_at)


def test_endpoint_is_up_if_its_dispatcher_is_closed(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make_source(step)
    refuse_timers(step, monkeypatch)
    harness.go_down()
    assert not is_down(harness)


def test_dial_that_is_planned_while_the_last_user_leaves_is_cancelled(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make_source(step)
    plan = step.call_at

    def leave_and_plan(deadline: float, function: Any) -> Any:
        if harness.source.is_used:
            harness.source.release()
        return plan(deadline, function)

    monkeypatch.setattr(step, "call_at", leave_and_plan)
    harness.go_down()
    step.advance(100)
    assert len(harness.made) == 1
    assert not is_down(harness)


def test_dial_that_begins_while_the_last_user_leaves_is_closed(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make_source(step)
    harness.go_down()
    make = harness.maker.make

    def make_and_leave(timeouts: Any, owner: Any, is_for_one_call: bool) -> Any:
        line = make(timeouts, owner, is_for_one_call)
        harness.source._users.decrement_and_get(1)
        return line

    monkeypatch.setattr(harness.maker, "make", make_and_leave)
    step.advance(1)
    assert harness.made[1].socket.error is not None
    assert not is_down(harness)


def test_dial_that_succeeds_after_it_was_given_up_changes_nothing(step: StepDispatcher) -> None:
    harness = make_source(step)
    harness.go_down()
    step.advance(1)
    probe = harness.made[1]
    harness.source.after_fork()
    harness.turn(probe.stand)
    call = harness.start()
    assert probe.in_flight == 0
    assert harness.made[2].in_flight == 1
    assert not call.ends


# --- looks at an endpoint whose connection has broken, for clusters ---


class Watcher:
    """A cluster: counts how often it is notified."""

    def __init__(self) -> None:
        self.changes = 0

    def on_source_changed(self) -> None:
        self.changes += 1


def make_watched(step: StepDispatcher, kind: str = "single", **options: Any) -> SourceHarness:
    """A source that a cluster uses, with one established connection."""
    harness = make_source(step, kind, **options)
    harness.source.add_watcher(Watcher())
    harness.start(max_retry=0)
    harness.turn(harness.made[0].stand)
    return harness


def watcher_of(harness: SourceHarness) -> Any:
    (watcher,) = harness.source.watchers
    return watcher


def break_after_an_answer(harness: SourceHarness, code: int = ErrorCode.EEOF) -> None:
    harness.turn(harness.made[-1].answer)
    harness.turn(lambda: harness.made[-1].fail(code))


@pytest.mark.parametrize("kind", ["single", "pooled"])
def test_endpoint_that_has_gone_is_down_before_a_call_finds_out(
    step: StepDispatcher, kind: str
) -> None:
    harness = make_watched(step, kind)
    break_after_an_answer(harness)
    assert not is_down(harness)
    assert harness.made[1].socket.connects == 1  # type: ignore[attr-defined]
    before = watcher_of(harness).changes
    harness.turn(harness.made[1].refuse)
    assert is_down(harness)
    assert watcher_of(harness).changes > before
    step.advance(1)
    assert len(harness.made) == 3, "it is dialled as one that a call has found down"
    harness.turn(harness.made[2].stand)
    assert not is_down(harness)


def test_endpoint_that_is_still_there_has_a_connection_again(step: StepDispatcher) -> None:
    harness = make_watched(step)
    break_after_an_answer(harness)
    harness.turn(harness.made[1].stand)
    assert not is_down(harness)
    call = harness.start()
    assert len(harness.made) == 2
    harness.turn(harness.made[1].answer)
    assert call.error is None


def test_connection_that_served_nobody_is_not_replaced(step: StepDispatcher) -> None:
    """Else one that accepts and closes, as at the end of an idle time, is dialled for ever."""
    harness = make_watched(step)
    harness.turn(lambda: harness.made[0].fail(ErrorCode.EEOF))
    assert len(harness.made) == 1
    harness.start()
    harness.turn(harness.made[1].stand)
    break_after_an_answer(harness)
    harness.turn(harness.made[2].stand)
    harness.turn(lambda: harness.made[2].fail(ErrorCode.EEOF))
    assert len(harness.made) == 3
    assert not is_down(harness)


@pytest.mark.parametrize("why", ["nobody watches", "closed here", "without a backoff"])
def test_no_look_is_taken_without_need(step: StepDispatcher, why: str) -> None:
    harness = make_watched(step, backoff=None if why == "without a backoff" else EVERY_SECOND)
    if why == "nobody watches":
        harness.source.remove_watcher(watcher_of(harness))
    break_after_an_answer(harness, ErrorCode.ECLOSE if why == "closed here" else ErrorCode.EEOF)
    assert len(harness.made) == 1


def test_look_that_takes_long_gives_way_to_the_dial_after_a_call_has_failed(
    step: StepDispatcher,
) -> None:
    harness = make_watched(step)
    break_after_an_answer(harness)
    harness.go_down()
    assert is_down(harness)
    step.advance(1)
    look, dial = harness.made[1], harness.made[3]
    assert look.socket.error is not None
    harness.turn(dial.stand)
    assert not is_down(harness)
    assert harness.counts()[:2] == (4, 3)
