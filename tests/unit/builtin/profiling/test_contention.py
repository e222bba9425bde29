"""ContentionSampler: how often it looks, and how late it finds itself."""

from __future__ import annotations

from pybrpc.builtin.profiling.contention import ContentionSampler, take_contention_profile
from pybrpc.builtin.profiling.lags import LoopLags
from pybrpc.builtin.profiling.lock_waits import LockWaits

MS = 1_000_000


class Counted(LockWaits):
    samples = 0

    def take(self) -> None:
        self.samples += 1


class CountedLoops(LoopLags):
    asked = 0
    found = 0

    def find_loops(self) -> None:
        self.found += 1

    def ask(self) -> None:
        self.asked += 1


class Machine:
    """Wakes its thread late."""

    def __init__(self, late_ns: int = 0, cost_ns: int = 0) -> None:
        self.now_ns = self.worked_ns = 0
        self.late_ns = late_ns
        self.cost_ns = cost_ns
        self.waits = Counted()
        self.loops = CountedLoops()
        self.sampler = ContentionSampler(
            self.waits, self.loops, lambda: self.now_ns, self.sleep, self.cost_clock
        )

    def cost_clock(self) -> int:
        self.worked_ns += self.cost_ns // 2
        return self.worked_ns * 2

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9) + self.late_ns


def test_threads_and_loops_are_looked_at_at_their_rates() -> None:
    machine = Machine()
    assert machine.sampler.run(1.0, lambda: False) == 1.0
    assert (machine.waits.samples, machine.loops.asked, machine.loops.found) == (100, 20, 1)


def test_the_lag_is_how_late_it_wakes() -> None:
    machine = Machine(late_ns=20 * MS)
    machine.sampler.run(1.0, lambda: False)
    (note,) = machine.sampler.profile(0.0, 1.0).notes
    assert note == (
        "lag of threads (GIL and scheduler): 40 times, "
        "average 20.00 ms, median 20.00, 99 % 20.00, longest 20.00"
    )


def test_it_ends_when_it_is_over() -> None:
    machine = Machine()
    machine.sampler.run(60.0, lambda: machine.waits.samples >= 3)
    assert machine.waits.samples == 3


def test_expensive_samples_are_fewer() -> None:
    machine = Machine(cost_ns=10 * MS)
    machine.sampler.run(1.0, lambda: False)
    assert machine.waits.samples <= 6


def test_a_profile_of_this_process_has_the_lag_of_its_threads() -> None:
    profile = take_contention_profile(0.05, lambda: False)
    assert profile.kind == "contention"
    assert profile.notes[0].startswith("lag of threads (GIL and scheduler): ")
