"""An EpollDispatcher with traced parts: its poller role, waiters, and the kernel."""

from __future__ import annotations

from pybrpc.base.deadline import NEVER
from pybrpc.base.flags import WakeSignal
from pybrpc.testing.step_scheduler import StepScheduler
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.fd_events import FdEvents
from pybrpc.transport.dispatch.poller_role import NO_THREAD, Waiter
from pybrpc.transport.dispatch.relay import Relay
from pybrpc.transport.dispatch.turn_runner import TurnRunner
from tests.schedules.traced import TracedCounter, TracedLock


def traced_signal(scheduler: StepScheduler, name: str) -> WakeSignal:
    signal = WakeSignal()
    signal._lock = TracedLock(scheduler, name, is_locked=True)  # type: ignore[assignment]
    return signal


class ImpatientSignal:
    """A signal of which each wait ends at any time."""

    def __init__(self, scheduler: StepScheduler) -> None:
        self._scheduler = scheduler

    def set(self) -> None:
        self._scheduler.point("end the relay")

    def wait(self, timeout_s: float = -1) -> bool:
        self._scheduler.point("wait for the relay")
        return False


def traced_relay(scheduler: StepScheduler) -> Relay:
    """A relay that may stall at any time."""
    relay = Relay()
    relay._signal = ImpatientSignal(scheduler)  # type: ignore[assignment]
    return relay


class TracedWaiter(Waiter):
    """A Waiter that sleeps without a deadline; `is_gone` is traced."""

    def __init__(self, scheduler: StepScheduler, name: str) -> None:
        self._scheduler = scheduler
        super().__init__()
        self._signal: WakeSignal = traced_signal(scheduler, name)

    @property
    def is_gone(self) -> bool:  # type: ignore[override]
        self._scheduler.point("look whether it is gone")
        return self._is_gone

    @is_gone.setter
    def is_gone(self, is_gone: bool) -> None:
        self._scheduler.point("say whether it is gone")
        self._is_gone = is_gone

    def sleep(self, deadline: float) -> bool:
        return super().sleep(NEVER)


class TracedFds(FdEvents):
    """The kernel: each waiter gets its response in the first turn after it was asked for."""

    def __init__(self, scheduler: StepScheduler, runner: TurnRunner) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._runner = runner
        self.asked: list[Waiter] = []
        self.is_woken = False

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        while not (self.asked or self._runner.has_work() or self.is_woken):
            self._scheduler.wait_for_others()
        self.is_woken = False
        while self.asked:
            self.asked.pop(0).end()
        return []

    def wake(self) -> None:
        self.is_woken = True


class TracedDispatcher(EpollDispatcher):
    """A dispatcher whose kernel, poller role and own thread's signal are traced."""

    def __init__(self, scheduler: StepScheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._is_started = True
        self._main_thread = NO_THREAD
        self._runner.fds.close()
        self._runner.fds = self.fds = TracedFds(scheduler, self._runner)
        role = self._role
        role._lock = TracedLock(scheduler, "the role", is_locked=False)  # type: ignore[assignment]
        role._own_thread_signal = traced_signal(scheduler, "the own thread's signal")
        role.relay = traced_relay(scheduler)
        role._background_work = TracedCounter(scheduler)

    def _polls_still(self) -> bool:
        """The schedule ends the thread, by an exception."""
        raise

    def _replace_thread(self) -> None:
        """No other goes on instead."""

    def _turn(self, longest_s: float, is_callers: bool) -> None:
        super()._turn(longest_s, is_callers)
        self._scheduler.point("the turn is over")

    def call(self, waiter: Waiter) -> None:
        """Ask for a response and wait for it."""
        self.fds.asked.append(waiter)
        self._scheduler.point("asked")
        assert self.wait(waiter, NEVER)
