"""Router: which servers have calls, how attempts end, and the error of a call that finds none."""

from __future__ import annotations

import errno
import threading
from itertools import pairwise
from typing import Any

import pytest

from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.balancing.round_robin import RoundRobin, RoundRobinPicker
from pybrpc.client.cluster.breaking.gates import SlowStart
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.client.cluster.breaking.retry_budget import RetryBudget
from pybrpc.client.cluster.breaking.server_breaker import ServerBreaker
from pybrpc.client.cluster.server_node import ServerNode
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from tests.fakes.routers import FAILED, RouterHarness, node
from tests.fakes.turns import SteppedTurns


def test_router_without_a_list_says_that_none_has_come() -> None:
    harness = RouterHarness(0)
    assert harness.pick() is None
    error = harness.router.no_server_error("")
    assert (error.code, error.phase) == (errno.ENODATA, Phase.QUEUED)
    assert "list://test names no server" in error.text


def test_error_of_a_router_without_servers_has_the_error_of_the_naming_service() -> None:
    error = RouterHarness(0).router.no_server_error("connection refused")
    assert error.text == "list://test names no server: connection refused"


def test_error_has_the_name_of_the_naming_service_once() -> None:
    error = RouterHarness(0).router.no_server_error("list://test: connection refused", " of mine")
    assert error.text == "list://test names no server of mine: connection refused"


def test_error_names_the_reason_of_each_server_but_of_five_at_most() -> None:
    harness = RouterHarness(7)
    for number, server in enumerate(harness.servers):
        harness.router.states.set_down(server, f"reason {number}")
    assert harness.pick() is None
    error = harness.router.no_server_error("")
    assert error.code == errno.EHOSTDOWN
    assert "none of the 7 servers of list://test is usable" in error.text
    assert "10.0.0.4:8000: down for 0.0 s, reason 4; and 2 more" in error.text
    assert "reason 5" not in error.text


def test_attempts_are_counted_while_they_are_in_flight() -> None:
    harness = RouterHarness(1)
    (server,) = harness.servers
    picks = [harness.pick() for _ in range(3)]
    assert server.in_flight == 3
    for pick in picks:
        assert pick is not None
        pick.end(0, None)
    assert server.in_flight == 0


def test_pick_ends_once() -> None:
    harness = RouterHarness(1)
    pick = harness.pick()
    assert pick is not None
    for _ in range(3):
        pick.end(FAILED, None)
    assert harness.servers[0].in_flight == 0
    assert harness.servers[0].health.breaker._consecutive == 1


def test_server_that_has_left_the_list_is_unused_after_its_last_attempt() -> None:
    harness = RouterHarness(2)
    gone = harness.servers[0]
    pick = harness.pick_of(gone)
    harness.router.set_nodes([node(1)])
    assert harness.unused == []
    assert [server.node for server in harness.servers] == [node(1)]
    assert set(harness.picked(4)) == {harness.servers[0]}
    pick.end(0, None)
    assert harness.unused == [gone]


def test_server_without_attempts_is_unused_when_it_leaves_the_list() -> None:
    harness = RouterHarness(2)
    gone = harness.servers[1]
    harness.router.set_nodes([node(0)])
    assert harness.unused == [gone]
    assert not gone.begin()


def test_many_servers_that_leave_are_let_go_in_several_turns() -> None:
    turns = SteppedTurns()
    harness = RouterHarness(0, turns=turns)
    many = [ServerNode.parse(f"10.0.{each // 250}.{each % 250}:80") for each in range(1000)]
    harness.router.set_nodes(many)
    turns.run_all()
    assert len(harness.servers) == harness.router.states.usable == 1000
    harness.router.set_nodes(many[:1])
    let_go = [0]
    while turns.run_one():
        assert len(harness.servers) == harness.router.states.usable == 1
        let_go.append(len(harness.unused))
    assert let_go[-1] == 999
    assert 0 < max(after - before for before, after in pairwise(let_go)) <= MAX_PER_STEP


class RaisingOnce(RoundRobin):
    """Makes no picker of the next list, if it is to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.raises = True

    def new_picker(self, servers: Any) -> RoundRobinPicker:
        if self.raises:
            self.raises = False
            raise ValueError("no picker")
        return super().new_picker(servers)


def test_list_of_which_no_picker_could_be_made_is_as_if_it_had_not_come() -> None:
    balancer = RaisingOnce()
    balancer.raises = False
    harness = RouterHarness(2, balancer=balancer)
    first, second = harness.servers
    balancer.raises = True
    with pytest.raises(ValueError, match="no picker"):
        harness.router.set_nodes([node(1), node(2)])
    assert [server.node for server in harness.unused] == [node(2)], "nobody else would release it"
    assert list(harness.servers) == [first, second]
    del harness.unused[:]
    harness.router.set_nodes([node(1), node(3)])
    assert (harness.servers[0], harness.unused) == (second, [first])
    assert (harness.router.states.usable, len(harness.router.states._servers)) == (2, 2)


def test_first_list_of_which_no_picker_could_be_made_counts_when_it_comes_again() -> None:
    balancer = RaisingOnce()
    balancer.raises = False
    harness = RouterHarness(0, balancer=balancer)
    balancer.raises = True
    with pytest.raises(ValueError, match="no picker"):
        harness.router.set_nodes([node(0), node(1)])
    harness.router.set_nodes([node(0), node(1)])
    assert harness.router.states.usable == 2
    assert harness.router.has_usable()


def test_router_that_was_closed_has_no_timers() -> None:
    """A server on trial has one again and again, which would keep all alive."""
    harness = RouterHarness(5)
    server = harness.servers[0]
    harness.router.states.eject(server, "faults")
    harness.turns.pass_s(1)
    assert server.health.state == "trial"
    harness.turns.pass_s(100)
    assert harness.turns.timers == 1
    harness.router.close()
    harness.turns.pass_s(100)
    assert harness.turns.timers == 0
    assert harness.pick() is None
    harness.router.set_nodes([node(0), node(9)])
    assert harness.router.states.usable == 2
    assert server not in harness.servers


def test_server_that_joins_others_begins_slowly_but_those_of_the_first_list_do_not() -> None:
    harness = RouterHarness(2, OutlierDetection(slow_start=10))
    assert [server.gate for server in harness.servers] == [None, None]
    harness.router.set_nodes([node(0), node(1), node(2)])
    assert [isinstance(server.gate, SlowStart) for server in harness.servers] == [
        False,
        False,
        True,
    ]


def test_server_that_stays_keeps_its_figures() -> None:
    harness = RouterHarness(2)
    stays = harness.servers[1]
    harness.call()
    harness.router.set_nodes([node(1), node(5)])
    assert harness.servers[0] is stays
    assert harness.servers[1].node == node(5)


def test_pick_of_an_old_list_takes_no_server_that_is_gone() -> None:
    """A thread has loaded the list, and then it changes."""
    harness = RouterHarness(2)
    gone, stays = harness.servers
    old = harness.router.picker
    harness.router.set_nodes([stays.node])
    assert harness.router.picker is not old
    harness.router.picker = old  # as that thread sees it
    picks = [harness.pick() for _ in range(4)]
    assert {pick.server for pick in picks if pick is not None} == {stays}
    assert gone.in_flight == 0


def test_duplicates_of_a_list_are_one_server() -> None:
    harness = RouterHarness(0)
    harness.router.set_nodes([node(1), node(1), node(1, "tag")])
    assert [server.node for server in harness.servers] == [node(1), node(1, "tag")]


def test_down_server_gets_no_calls_until_it_is_reachable() -> None:
    harness = RouterHarness(3)
    down = harness.servers[0]
    harness.router.states.set_down(down, "refused")
    assert harness.picked(6)[down] == 0
    harness.router.states.set_reachable(down)
    assert harness.picked(6)[down] == 2


def test_events_tell_when_the_last_server_goes_and_the_first_one_comes() -> None:
    harness = RouterHarness(2)
    first, second = harness.servers
    harness.router.states.set_down(first, "refused")
    assert harness.none_usable_events == 0
    harness.router.states.set_down(second, "refused")
    assert harness.none_usable_events == 1
    before = harness.usable_events
    harness.router.states.set_reachable(first)
    assert harness.usable_events == before + 1


def test_server_that_logs_off_gets_no_calls_and_is_tried_again_later() -> None:
    harness = RouterHarness(2)
    leaving = harness.servers[0]
    pick = harness.pick_of(leaving)
    pick.end(int(ErrorCode.ELOGOFF), None)
    assert harness.states == ["logged off", "up"]
    assert harness.picked(4)[leaving] == 0
    harness.turns.pass_s(0.1)
    assert harness.states == ["trial", "up"]
    # Its ELOGOFF was no error of its own, and the next one keeps it away for longer.
    harness.pick_of(leaving).end(int(ErrorCode.ELOGOFF), None)
    assert leaving.health.state == "logged off"
    harness.turns.pass_s(0.15)
    assert leaving.health.state == "logged off"
    harness.turns.pass_s(0.1)
    assert leaving.health.state == "trial"


@pytest.mark.parametrize(
    ("code", "canceled_by", "outcome"),
    [
        (0, None, Outcome.SUCCESS),
        (int(ErrorCode.EINTERNAL), None, Outcome.FAULT),
        (int(ErrorCode.EFAILEDSOCKET), None, Outcome.FAULT),
        (int(ErrorCode.ERPCTIMEDOUT), CanceledBy.DEADLINE, Outcome.FAULT),
        (int(ErrorCode.EOVERCROWDED), None, Outcome.FAULT),
        (int(ErrorCode.ELIMIT), None, Outcome.REFUSED),
        (int(ErrorCode.ELOGOFF), None, Outcome.NEUTRAL),
        (int(ErrorCode.EREJECT), None, Outcome.NEUTRAL),
        (int(ErrorCode.EREQUEST), None, Outcome.SUCCESS),
        (int(ErrorCode.ENOMETHOD), None, Outcome.SUCCESS),
        (4711, None, Outcome.SUCCESS),
        (int(ErrorCode.ECANCELED), CanceledBy.CALLER, Outcome.NEUTRAL),
        (int(ErrorCode.ECANCELED), CanceledBy.HANDLER, Outcome.NEUTRAL),
        (int(ErrorCode.ECANCELED), CanceledBy.OTHER_ATTEMPT, Outcome.OVERTAKEN),
        (int(ErrorCode.ECLOSE), CanceledBy.CLOSE, Outcome.NEUTRAL),
    ],
)
def test_balancer_gets_the_outcome_of_each_attempt(
    code: int, canceled_by: CanceledBy | None, outcome: Outcome
) -> None:
    ended: list[Outcome] = []

    class Picker(RoundRobinPicker):
        __slots__ = ()

        def on_end(self, *arguments: Any) -> None:
            ended.append(arguments[3])

    class Balancer(RoundRobin):
        def new_picker(self, servers: Any) -> Picker:
            return Picker(servers)

    harness = RouterHarness(1, balancer=Balancer())
    pick = harness.pick()
    assert pick is not None
    pick.end(code, canceled_by)
    assert ended == [outcome]


def test_balancer_that_raises_at_an_end_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Picker(RoundRobinPicker):
        __slots__ = ()

        def on_end(self, *arguments: Any) -> None:
            raise LookupError("mine")

    class Balancer(RoundRobin):
        def new_picker(self, servers: Any) -> Picker:
            return Picker(servers)

    harness = RouterHarness(1, balancer=Balancer())
    harness.call()
    assert harness.servers[0].in_flight == 0
    assert harness.servers[0].health.latency_s > 0
    assert "on_end of a load balancer raised" in caplog.text


# --- retries ---


def test_refused_call_is_retried_where_it_was_not_tried() -> None:
    harness = RouterHarness(2)
    first, second = harness.servers
    may = harness.router.may_retry_elsewhere
    for code in (ErrorCode.ELIMIT, ErrorCode.EOVERCROWDED, ErrorCode.ELOGOFF):
        assert may(int(code), (first,))
        assert not may(int(code), (first, second))
    assert not may(FAILED, (first,))
    harness.router.states.set_down(second, "refused")
    assert not may(int(ErrorCode.ELIMIT), (first,))


def failure(phase: Phase, code: int = FAILED) -> RpcError:
    return make_rpc_error(code, "test", phase=phase, peer="")


def test_retries_are_a_share_of_the_calls() -> None:
    """Row 9 of the list of simulations: with all servers failing, at most 1.2 attempts a call."""
    harness = RouterHarness(3, retry_budget=RetryBudget(ratio=0.2, min_per_s=0, window=10))
    attempts = 0
    for _ in range(1000):
        harness.router.note_call()
        attempts += 1
        for _ in range(3):
            if not harness.router.take_retry(failure(Phase.WAITING)):
                break
            attempts += 1
    assert 1150 <= attempts <= 1200


def test_more_generous_rule_of_the_budget_decides() -> None:
    """A second has 30 calls and so 6 retries, or 10 by the rule of time; or 300 calls and so 60."""
    for calls, expected in ((30, 10), (300, 60)):
        harness = RouterHarness(1, retry_budget=RetryBudget(ratio=0.2, min_per_s=10, window=10))
        while harness.router.take_retry(failure(Phase.WAITING)):
            pass  # those that the beginning allows
        taken = 0
        for _ in range(10 * calls):
            harness.turns.pass_s(1 / calls)
            harness.router.note_call()
            taken += harness.router.take_retry(failure(Phase.WAITING))
        assert 10 * expected - 1 <= taken <= 10 * expected + 1


def test_retry_of_what_has_not_left_costs_nothing() -> None:
    harness = RouterHarness(3, retry_budget=RetryBudget(ratio=0, min_per_s=0))
    take = harness.router.take_retry
    assert not take(failure(Phase.WAITING))
    assert take(failure(Phase.CONNECT))
    assert take(failure(Phase.QUEUED))
    assert take(failure(Phase.SERVER, int(ErrorCode.ELOGOFF)))


def test_budget_fills_with_time_up_to_its_window() -> None:
    harness = RouterHarness(1, retry_budget=RetryBudget(ratio=0, min_per_s=10, window=2))

    def taken() -> int:
        return sum(harness.router.take_retry(failure(Phase.WAITING)) for _ in range(100))

    assert taken() == 20
    harness.turns.pass_s(0.5)
    assert taken() == 5
    harness.turns.pass_s(3600)
    assert taken() == 20


# --- threads ---


@pytest.mark.stress
def test_counts_are_right_when_lists_change_while_threads_call() -> None:
    harness = RouterHarness(8, breaker=OutlierDetection(slow_start=0, max_ejected=1))
    seen = list(harness.servers)
    is_over = threading.Event()
    failures: list[BaseException] = []

    def call(number: int) -> None:
        turn = 0
        try:
            while not is_over.is_set():
                turn += 1
                pick = harness.pick()
                if pick is not None:
                    pick.end(FAILED if (turn + number) % 7 == 0 else 0, None)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(150):
        harness.router.set_nodes([node(number) for number in range(8) if (number + turn) % 8 < 5])
        seen += [server for server in harness.servers if server not in seen]
    is_over.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(server.in_flight == 0 for server in seen)
    listed = set(harness.servers)
    assert sorted(map(id, harness.unused)) == sorted(id(s) for s in seen if s not in listed)


class RaisingBreaker(ServerBreaker):
    """A breaker of the application, all of whose methods raise."""

    def note(self, outcome: Any, latency_s: float, now: float) -> bool:
        raise SystemExit(1)

    def reset(self, now: float) -> None:
        raise SystemExit(2)


class Unusable:
    """Has no truth and no methods."""

    def __bool__(self) -> bool:
        raise SystemExit(3)

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(4)


class RaisingBreakers(OutlierDetection):
    def new_server_breaker(self) -> ServerBreaker:
        return RaisingBreaker()


def test_breaker_that_raises_changes_no_end_of_an_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = RouterHarness(2, breaker=RaisingBreakers(slow_start=0))
    server = harness.servers[0]
    harness.call()
    harness.fail(server, 3)
    assert "note of a circuit breaker raised" in caplog.text
    assert server.in_flight == 0
    harness.router.states.set_down(server, "gone")
    harness.router.states.set_reachable(server)
    assert "reset of a circuit breaker raised" in caplog.text
    assert harness.states == ["up", "up"]


def test_load_that_raises_when_it_is_to_forget_keeps_no_server_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = RouterHarness(2)
    server = harness.servers[0]
    server.load = Unusable()
    harness.router.states.set_down(server, "gone")
    harness.router.states.set_reachable(server)
    assert "forget of the load of a server raised" in caplog.text
    assert harness.states == ["up", "up"]


def test_classifier_whose_answer_has_no_truth_decides_nothing() -> None:
    breaker: Any = OutlierDetection(slow_start=0, classifier=lambda code: Unusable())
    harness = RouterHarness(2, breaker=breaker)
    harness.fail(harness.servers[0], 5)
    assert harness.states == ["ejected", "up"]
