"""StepScheduler: runs plain functions in threads, one at a time, switching only at given points.

Code under test is instrumented so that it calls `point()` before each access to what threads
share. Between two points one thread runs alone, so the schedule (the list of the threads that went
on at each point) determines the run. `explore` runs a scenario once under every schedule that is
possible, `explore_randomly` under some. The text of the error has the schedule that failed:
`replay` runs it again, and so does `explore_randomly` with the seed.

    def scenario(scheduler):
        queue = ...                                   # a fresh one, instrumented
        scheduler.run(lambda: produce(queue, 1), lambda: produce(queue, 2))
        assert ...                                    # what must hold at the end

    explore(scenario)
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from pybrpc.base.atomic import AtomicRef, atomic_ref

__all__ = ["StepScheduler", "explore", "explore_randomly", "replay"]


def __dir__() -> list[str]:
    return __all__


T = TypeVar("T")

Scenario = Callable[["StepScheduler"], object]
MAX_POINTS = 10_000
"""A run with more points is considered endless."""

RARE_RATE = 0.1
"""With odd seeds, the probability that a thread is stopped at a point."""

RARE_PREEMPTIONS = 4
"""With odd seeds, the most threads that are stopped in a run."""


class ScheduleFailure(AssertionError):
    """A scenario failed. `choices` is the schedule to replay; it was made from `seed`."""

    def __init__(
        self,
        choices: Sequence[int],
        trace: Sequence[str],
        reason: BaseException,
        seed: int | None = None,
    ) -> None:
        self.choices = list(choices)
        self.seed = seed
        steps = "\n  ".join(trace)
        of_seed = "" if seed is None else f"seed {seed}, or "
        super().__init__(
            f"{type(reason).__name__}: {reason}\n"
            f"{of_seed}replay(scenario, {self.choices}) runs it again:\n  {steps}"
        )


class StuckError(AssertionError):
    """Every thread waits for another one, or the scenario does not end."""


class _Abandoned(BaseException):
    """Ends the threads of a run that has failed."""


class _Worker:
    def __init__(self, index: int, function: Callable[[], object]) -> None:
        self.index = index
        self.function = function
        self.may_go = threading.Semaphore(0)
        self.is_over = False
        self.waits_since = -1


class StepScheduler:
    """One run of one scenario.

    `choose(n)` decides which of n threads goes on: 0 is the running one, if it can go on. It is
    not called any more once `max_preemptions` threads were stopped that could have gone on.
    """

    def __init__(self, choose: Callable[[int], int], max_preemptions: int | None = None) -> None:
        self._choose = choose
        self._preemptions_left = MAX_POINTS if max_preemptions is None else max_preemptions
        self.options: list[int] = []
        self.choices: list[int] = []
        self.trace: list[str] = []
        self._workers: list[_Worker] = []
        self._current: _Worker | None = None
        self._all_over = threading.Semaphore(0)
        self._raised: BaseException | None = None
        self._points = 0
        self._steps = 0

    def run(self, *functions: Callable[[], object]) -> None:
        """Run the functions to their end; raise the first exception that one of them raised."""
        self._workers = [_Worker(index, function) for index, function in enumerate(functions)]
        threads = [threading.Thread(target=self._work, args=(w,)) for w in self._workers]
        for thread in threads:
            thread.start()
        self._go_on()
        self._all_over.acquire()
        for thread in threads:
            thread.join()
        self._current = None
        if self._raised is not None:
            raise self._raised

    def point(self, label: str = "") -> None:
        """Another thread may go on here. Outside `run` it does nothing."""
        worker = self._current
        if worker is None:
            return
        self._steps += 1
        self._stop_at(worker, label)

    def choose(self, count: int, label: str) -> int:
        """Choose one of `count` events, as a part of the schedule; 0 outside `run`. `label` is for
        the text of a failure."""
        if self._current is None or count < 2:
            return 0
        index = self._choose(count)
        self.options.append(count)
        self.choices.append(index)
        if index:
            self.trace.append(f"{self._current.index}: {label} {index}")
        return index

    @property
    def running(self) -> int:
        """Index of the function that runs; -1 outside `run`."""
        return -1 if self._current is None else self._current.index

    def _stop_at(self, worker: _Worker, label: str) -> None:
        self._points += 1
        if self._points > MAX_POINTS:
            raise StuckError(f"not over after {MAX_POINTS} points")
        self.trace.append(f"{worker.index}: {label}")
        self._stop(worker, may_run=self._go_on())

    def wait_for_others(self) -> None:
        """Go on only after another thread has reached its next point or its end.

        A call of this method by another thread is no such point.
        """
        worker = self._current
        if worker is None:
            raise StuckError("no other thread is running")
        worker.waits_since = self._steps
        self._stop_at(worker, "waits for others")
        worker.waits_since = -1

    def _work(self, worker: _Worker) -> None:
        try:
            self._stop(worker, may_run=False)
            worker.function()
        except _Abandoned:
            pass
        except BaseException as error:
            self._raised = self._raised or error
        worker.is_over = True
        self._steps += 1
        self._go_on()

    def _stop(self, worker: _Worker, *, may_run: bool) -> None:
        if not may_run:
            worker.may_go.acquire()
        if self._raised is not None:
            raise _Abandoned

    def _go_on(self) -> bool:
        """Choose the thread that goes on, and let it. True if it is the calling thread."""
        before = self._current
        left = [worker for worker in self._workers if not worker.is_over]
        able = [worker for worker in left if self._is_able(worker)]
        able.sort(key=lambda worker: worker is not before)
        if not left:
            self._all_over.release()
            return False
        if not able:
            self._raised = self._raised or StuckError("every thread waits for another one")
            able = left
        chosen = able[0] if self._raised is not None else self._pick(able, able[0] is before)
        self._current = chosen
        if chosen is before:
            return True
        chosen.may_go.release()
        return False

    def _is_able(self, worker: _Worker) -> bool:
        return worker.waits_since < 0 or self._steps > worker.waits_since

    def _pick(self, able: list[_Worker], preempts: bool) -> _Worker:
        if len(able) == 1:
            return able[0]
        options = 1 if preempts and not self._preemptions_left else len(able)
        index = self._choose(options)
        self._preemptions_left -= preempts and index > 0
        self.options.append(options)
        self.choices.append(index)
        return able[index]


class TracedRef(Generic[T]):
    """An AtomicRef that comes to a point of the scheduler before each access."""

    def __init__(self, scheduler: StepScheduler, initial: T) -> None:
        self._scheduler = scheduler
        self._ref: AtomicRef[T] = atomic_ref(initial)

    def get(self) -> T:
        self._scheduler.point("get")
        return self._ref.get()

    def get_and_set(self, desired: T) -> T:
        self._scheduler.point(f"exchange for {desired!r}")
        return self._ref.get_and_set(desired)

    def compare_and_set(self, expected: T, desired: T) -> bool:
        self._scheduler.point(f"replace {expected!r} with {desired!r}")
        return self._ref.compare_and_set(expected, desired)


def replay(scenario: Scenario, choices: Sequence[int] = ()) -> StepScheduler:
    """Run a scenario under one schedule. After the end of `choices` the running thread goes on."""
    return _replay(scenario, choices, None)


def explore(
    scenario: Scenario, *, max_preemptions: int | None = None, max_schedules: int = 1_000_000
) -> int:
    """Run a scenario under every schedule. Return their number.

    With `max_preemptions`, under every schedule in which at most that many threads are stopped that
    could go on; few defects need more than two, and the schedules become far fewer. Raises
    ScheduleFailure for the first one that fails, AssertionError if there are more than
    `max_schedules`.
    """
    choices: list[int] = []
    for count in range(1, max_schedules + 1):
        scheduler = _replay(scenario, choices, max_preemptions)
        next_choices = _successor(scheduler.choices, scheduler.options)
        if next_choices is None:
            return count
        choices = next_choices
    raise AssertionError(f"more than {max_schedules} schedules")


def explore_randomly(scenario: Scenario, seeds: Iterable[int]) -> int:
    """Run a scenario under one random schedule for each seed. Return their number.

    Even seeds stop a thread at any point, odd ones rarely and only a few times, so that threads
    get far ahead of each other. Raises ScheduleFailure, with the seed, for the first that fails.
    """
    count = 0
    for seed in seeds:
        rng = random.Random(seed)
        if seed % 2:
            scheduler = StepScheduler(_rarely(rng), RARE_PREEMPTIONS)
        else:
            scheduler = StepScheduler(rng.randrange)
        _run(scenario, scheduler, seed)
        count += 1
    return count


def _rarely(rng: random.Random) -> Callable[[int], int]:
    return lambda count: rng.randrange(count) if rng.random() < RARE_RATE else 0


def _replay(
    scenario: Scenario, choices: Sequence[int], max_preemptions: int | None
) -> StepScheduler:
    left = iter(choices)
    return _run(scenario, StepScheduler(lambda count: next(left, 0), max_preemptions))


def _run(scenario: Scenario, scheduler: StepScheduler, seed: int | None = None) -> StepScheduler:
    try:
        scenario(scheduler)
    except Exception as reason:
        raise ScheduleFailure(scheduler.choices, scheduler.trace, reason, seed) from reason
    return scheduler


def _successor(choices: list[int], options: list[int]) -> list[int] | None:
    """The next schedule, depth first; `None` after the last."""
    for index in reversed(range(len(choices))):
        if choices[index] + 1 < options[index]:
            return [*choices[:index], choices[index] + 1]
    return None
