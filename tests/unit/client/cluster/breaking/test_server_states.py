"""Servers whose calls fail are left out for a while; how they come back; panic."""

from __future__ import annotations

import pytest

from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.client.cluster.breaking.server_states import ServerStates
from pybrpc.errors import ErrorCode
from tests.fakes.routers import FAILED, RouterHarness, node


def test_server_is_ejected_after_consecutive_errors() -> None:
    harness = RouterHarness(3)
    bad = harness.servers[0]
    harness.fail(bad, 4)
    assert harness.states == ["up"] * 3
    harness.fail(bad, 1)
    assert harness.states == ["ejected", "up", "up"]
    assert "EINTERNAL" in bad.health.why
    assert harness.picked(10)[bad] == 0


def test_server_that_fails_half_of_its_calls_at_once_is_ejected_within_200_calls() -> None:
    """bRPC's breaker, which weighs errors by their time, never does that."""
    harness = RouterHarness(3)
    bad = harness.servers[0]
    for number in range(200):
        if bad.health.state != "up":
            break
        harness.pick_of(bad).end(FAILED * (number % 2), None)
    assert bad.health.state == "ejected"


def test_few_errors_eject_nobody() -> None:
    harness = RouterHarness(3)
    for number in range(3000):
        harness.call(FAILED if number % 4 == 0 else 0)
    assert harness.states == ["up"] * 3


def test_errors_of_long_ago_do_not_count() -> None:
    harness = RouterHarness(3)
    bad = harness.servers[0]
    for number in range(19):
        harness.pick_of(bad).end(FAILED * (number % 4 > 0), None)
    harness.turns.pass_s(11)
    harness.fail(bad, 1)
    assert bad.health.state == "up"


@pytest.mark.parametrize(
    ("code", "canceled_by"),
    [
        (ErrorCode.ELIMIT, None),
        (ErrorCode.EREQUEST, None),
        (ErrorCode.EPCHANFINISH, None),
        (ErrorCode.EBACKUPREQUEST, None),
        (ErrorCode.ECANCELED, CanceledBy.CALLER),
        (ErrorCode.ECANCELED, CanceledBy.OTHER_ATTEMPT),
    ],
)
def test_ends_that_are_not_the_fault_of_the_server_eject_nobody(
    code: int, canceled_by: CanceledBy | None
) -> None:
    harness = RouterHarness(2)
    for _ in range(100):
        pick = harness.pick()
        assert pick is not None
        pick.end(int(code), canceled_by)
    assert harness.states == ["up"] * 2


def test_classifier_decides_what_is_the_fault_of_the_server() -> None:
    verdicts = {4711: True, FAILED: False}
    harness = RouterHarness(3, OutlierDetection(classifier=lambda code: verdicts.get(code)))
    first, second, third = harness.servers
    harness.fail(first, 5, 4711)
    harness.fail(second, 5, FAILED)
    assert harness.states == ["ejected", "up", "up"]
    harness.fail(third, 5, int(ErrorCode.EREQUEST))
    assert third.health.state == "up"


def test_classifier_that_raises_leaves_it_to_the_library(caplog: pytest.LogCaptureFixture) -> None:
    def classify(code: int) -> bool:
        raise LookupError(code)

    harness = RouterHarness(3, OutlierDetection(classifier=classify))
    harness.fail(harness.servers[0], 5)
    assert harness.states == ["ejected", "up", "up"]
    assert "the classifier of a circuit breaker raised" in caplog.text


def test_one_of_ten_may_be_ejected_and_all_failing_ones_serve_on() -> None:
    """Row 4 of the list of simulations: 10 of 10 fail."""
    harness = RouterHarness(10)
    for _ in range(500):
        harness.call(FAILED, latency_s=0)
    assert harness.states.count("ejected") == 1
    assert harness.states.count("up") == 9


def test_share_of_the_servers_may_be_ejected() -> None:
    harness = RouterHarness(20, OutlierDetection(max_ejected=0.25, slow_start=0))
    for server in harness.servers[:8]:
        for _ in range(5):
            harness.pick_of(server).end(FAILED, None)
    assert harness.states.count("ejected") == 5


def test_only_server_serves_although_it_is_ejected() -> None:
    """Panic: better a server that fails than none."""
    harness = RouterHarness(1)
    harness.fail(harness.servers[0], 5)
    assert harness.states == ["ejected"]
    assert harness.router.states.is_panic
    assert harness.call() is harness.servers[0]


def test_ejected_servers_serve_while_too_few_others_can_be_reached() -> None:
    harness = RouterHarness(4)
    ejected, down, other, last = harness.servers
    harness.fail(ejected, 5)
    assert harness.picked(6)[ejected] == 0
    for server in (down, other):
        harness.router.states.set_down(server, "refused")
    assert harness.router.states.is_panic
    counts = harness.picked(6)
    assert (counts[ejected], counts[last]) == (3, 3)
    harness.router.states.set_reachable(down)
    assert not harness.router.states.is_panic


def test_server_that_was_ejected_is_tried_with_one_call_at_a_time() -> None:
    harness = RouterHarness(2)
    bad, good = harness.servers
    harness.fail(bad, 5)
    harness.turns.pass_s(0.1)
    assert harness.states == ["trial", "up"]
    trial = harness.pick_of(bad)
    others = [harness.pick() for _ in range(6)]
    assert {pick.server for pick in others if pick is not None} == {good}
    trial.end(0, None)
    assert harness.states == ["trial", "up"]
    for _ in range(2):
        harness.pick_of(bad).end(0, None)
    assert harness.states == ["up", "up"]


def test_failed_trial_ejects_for_longer() -> None:
    harness = RouterHarness(2)
    bad = harness.servers[0]
    harness.fail(bad, 5)
    for expected_s in (0.2, 0.4, 0.8):
        harness.turns.pass_s(bad.health.isolation.seconds)
        harness.pick_of(bad).end(FAILED, None)
        assert bad.health.state == "ejected"
        assert bad.health.isolation.seconds == pytest.approx(expected_s)


def test_trial_that_says_nothing_is_followed_by_another() -> None:
    harness = RouterHarness(2)
    bad = harness.servers[0]
    harness.fail(bad, 5)
    harness.turns.pass_s(0.1)
    for _ in range(5):
        harness.pick_of(bad).end(int(ErrorCode.ECANCELED), CanceledBy.CALLER)
    assert bad.health.state == "trial"
    for _ in range(3):
        harness.pick_of(bad).end(0, None)
    assert bad.health.state == "up"


def test_calls_that_began_before_the_ejection_change_nothing() -> None:
    harness = RouterHarness(2)
    bad = harness.servers[0]
    late = [harness.pick_of(bad) for _ in range(5)]
    harness.fail(bad, 5)
    for pick in late:
        pick.end(0, None)
    assert bad.health.state == "ejected"


def test_server_that_can_not_be_reached_while_it_is_ejected_is_down() -> None:
    harness = RouterHarness(2)
    bad = harness.servers[0]
    harness.fail(bad, 5)
    harness.router.states.set_down(bad, "refused")
    harness.turns.pass_s(60)
    assert bad.health.state == "down"
    harness.router.states.set_reachable(bad)
    assert bad.health.state == "up"


def test_server_that_comes_back_gets_its_share_by_and_by() -> None:
    harness = RouterHarness(10, OutlierDetection(slow_start=10))
    back, other = harness.servers[:2]
    harness.router.states.set_down(back, "refused")
    harness.router.states.set_reachable(back)

    def share() -> float:
        counts = dict.fromkeys(harness.servers, 0)
        for _ in range(10_000):
            pick = harness.pick()
            assert pick is not None
            pick.end(0, None)
            counts[pick.server] += 1
        return counts[back] / counts[other]

    assert 0.07 < share() < 0.14  # a tenth
    harness.turns.pass_s(5)
    assert 0.42 < share() < 0.6  # half
    harness.turns.pass_s(5)
    assert share() == pytest.approx(1, abs=0.01)
    assert back.gate is None


def test_many_new_servers_set_no_timers() -> None:
    """They come with one list, in one turn."""
    harness = RouterHarness(1, OutlierDetection(slow_start=10))
    harness.router.set_nodes([node(number) for number in range(200)])
    assert harness.turns.timers == 0
    assert all(server.gate is not None for server in harness.servers[1:])


def test_new_servers_start_slowly_but_those_of_the_first_list_do_not() -> None:
    harness = RouterHarness(2, OutlierDetection(slow_start=10))
    assert [server.gate for server in harness.servers] == [None, None]
    harness.router.set_nodes([*(server.node for server in harness.servers), node(99)])
    assert [server.gate is None for server in harness.servers] == [True, True, False]


def test_server_that_has_left_the_list_is_forgotten() -> None:
    harness = RouterHarness(3)
    gone, *others = harness.servers
    harness.fail(gone, 5)
    harness.router.set_nodes([server.node for server in others])
    assert harness.router.states._ejected == {}
    harness.turns.pass_s(60)
    assert gone.health.state == "ejected"
    assert harness.router.states.usable == 2
    # And so another one may be ejected.
    harness.fail(others[0], 5)
    assert harness.states == ["ejected", "up"]


def test_no_breaker_ejects_nobody() -> None:
    harness = RouterHarness(2)
    harness.router.states = ServerStates(harness.turns, None, lambda: None, lambda: None)
    assert harness.router.states.new_health().breaker is None
