"""The tools that the other tests trust: a step dispatcher, a step scheduler."""

from __future__ import annotations

import socket as plain
import subprocess
import sys
from pathlib import Path

import pytest

from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.testing.step_scheduler import (
    ScheduleFailure,
    StepScheduler,
    TracedRef,
    explore,
    explore_randomly,
    replay,
)
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

# --- StepDispatcher ---


def test_without_a_seed_what_was_posted_runs_in_order() -> None:
    step = StepDispatcher()
    ran: list[int] = []
    for number in range(5):
        step.post(lambda number=number: ran.append(number))
    assert step.step()
    assert ran == [0]
    assert step.run_until_idle() == 4
    assert ran == [0, 1, 2, 3, 4]
    assert not step.step()


def orders(seeds: range) -> list[tuple[int, ...]]:
    found = []
    for seed in seeds:
        step = StepDispatcher(seed)
        ran: list[int] = []
        for number in range(4):
            step.post(lambda number=number, ran=ran: ran.append(number))
        step.run_until_idle()
        found.append(tuple(ran))
    return found


def test_seeds_give_many_orders_and_each_the_same_again() -> None:
    assert len(set(orders(range(200)))) == 24
    assert orders(range(200)) == orders(range(200))


def test_timers_go_by_the_fake_clock() -> None:
    step = StepDispatcher()
    rang: list[str] = []
    now = step.clock.monotonic()
    step.call_at(now + 2, lambda: rang.append("second"))
    step.call_at(now + 1, lambda: rang.append("first"))
    step.call_at(now + 1.5, lambda: rang.append("cancelled")).cancel()
    step.run_until_idle()
    assert rang == []
    step.advance(1)
    assert rang == ["first"]
    step.advance(10)
    assert rang == ["first", "second"]


def test_descriptors_run_when_ready() -> None:
    step = StepDispatcher()
    near, far = plain.socketpair()
    with near, far:
        ran: list[str] = []
        step.add_reader(near.fileno(), lambda: ran.append(near.recv(1).decode()))
        assert not step.step()
        far.send(b"ab")
        assert step.run_until_idle() == 2
        step.add_writer(near.fileno(), lambda: step.remove_writer(near.fileno()))
        assert step.run_until_idle() == 1
        step.remove_reader(near.fileno())
        assert ran == ["a", "b"]
        assert not step.is_watching


def test_is_current_inside_a_step_only() -> None:
    step = StepDispatcher()
    seen: list[bool] = []
    step.post(lambda: seen.append(step.is_current()))
    step.run_until_idle()
    assert (seen, step.is_current()) == ([True], False)


def test_dispatcher_keeps_what_continuations_raise_and_goes_on() -> None:
    step = StepDispatcher()
    step.post(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    step.post(lambda: None)
    assert step.run_until_idle() == 2
    assert [type(error) for error in step.raised] == [ZeroDivisionError]


def test_run_until_idle_fails_if_a_continuation_reposts_itself() -> None:
    step = StepDispatcher()

    def again() -> None:
        step.post(again)

    step.post(again)
    with pytest.raises(AssertionError, match="not idle after 10 steps"):
        step.run_until_idle(10)


def test_after_close_posting_is_refused() -> None:
    step = StepDispatcher()
    step.close()
    with pytest.raises(DispatcherClosedError):
        step.post(lambda: None)


# --- StepScheduler ---


def two_steps_each(found: set[str]) -> object:
    def scenario(scheduler: StepScheduler) -> None:
        order: list[str] = []

        def work(name: str) -> None:
            order.append(name)
            scheduler.point(name)
            order.append(name)

        scheduler.run(lambda: work("a"), lambda: work("b"))
        found.add("".join(order))

    return scenario


def test_explores_each_schedule_once() -> None:
    found: set[str] = set()
    assert explore(two_steps_each(found)) == 6  # type: ignore[arg-type]
    assert found == {"aabb", "abab", "abba", "baab", "baba", "bbaa"}


def test_few_preemptions_give_few_schedules() -> None:
    found: set[str] = set()
    assert explore(two_steps_each(found), max_preemptions=0) == 2  # type: ignore[arg-type]
    assert found == {"aabb", "bbaa"}


def lost_update(scheduler: StepScheduler) -> None:
    ref = TracedRef(scheduler, 0)

    def add() -> None:
        ref.get_and_set(ref.get() + 1)

    scheduler.run(add, add)
    assert ref.get() == 2


def test_finds_a_lost_update_prints_it_and_replays_it() -> None:
    with pytest.raises(ScheduleFailure, match="exchange for 1") as caught:
        explore(lost_update)
    with pytest.raises(ScheduleFailure):
        replay(lost_update, caught.value.choices)
    replay(lost_update, [0, 0, 0])
    with pytest.raises(ScheduleFailure):
        explore_randomly(lost_update, range(50))


def test_a_failing_seed_is_printed_and_runs_the_same_schedule_again() -> None:
    with pytest.raises(ScheduleFailure, match=r"seed \d+, or replay") as caught:
        explore_randomly(lost_update, range(50))
    seed = caught.value.seed
    assert seed is not None
    with pytest.raises(ScheduleFailure) as again:
        explore_randomly(lost_update, [seed])
    assert again.value.choices == caught.value.choices
    assert again.value.seed == seed
    assert explore_randomly(lost_update, range(seed)) == seed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "seeds"), [(["--seed", "17"], [17]), (["--schedules", "3"], [0, 1, 2])]
)
def test_options_say_which_seeds_are_run(
    tmp_path: Path, options: list[str], seeds: list[int]
) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(f"def test(seeds):\n    assert list(seeds) == {seeds}\n")
    conftest = ["-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", "-q", *conftest, *options, str(test)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_choices_of_a_scenario_are_part_of_the_schedule() -> None:
    found: list[tuple[int, int]] = []

    def scenario(scheduler: StepScheduler) -> None:
        found.append((scheduler.choose(3, "outside"), -1))
        scheduler.run(lambda: found.append((scheduler.choose(3, "inside"), scheduler.running)))

    assert explore(scenario) == 3
    assert found[1::2] == [(0, 0), (1, 0), (2, 0)]
    assert set(found[::2]) == {(0, -1)}


def test_an_update_that_is_not_lost_passes() -> None:
    def scenario(scheduler: StepScheduler) -> None:
        ref = TracedRef(scheduler, 0)

        def add() -> None:
            while not ref.compare_and_set(value := ref.get(), value + 1):
                pass

        scheduler.run(add, add, add)
        assert ref.get() == 3

    explore_randomly(scenario, range(100))
    assert explore(scenario, max_preemptions=2) > 10


def test_threads_that_all_wait_are_an_error() -> None:
    def scenario(scheduler: StepScheduler) -> None:
        scheduler.run(scheduler.wait_for_others, scheduler.wait_for_others)
        scheduler.run(scheduler.wait_for_others)

    with pytest.raises(ScheduleFailure, match="waits for another"):
        replay(scenario)


def test_exception_of_a_thread_fails_the_scenario() -> None:
    def scenario(scheduler: StepScheduler) -> None:
        scheduler.run(lambda: scheduler.point("a"), lambda: 1 // 0)

    with pytest.raises(ScheduleFailure, match="ZeroDivisionError"):
        explore(scenario)


def test_too_many_schedules_are_an_error() -> None:
    with pytest.raises(AssertionError, match="more than 3 schedules"):
        explore(two_steps_each(set()), max_schedules=3)  # type: ignore[arg-type]
