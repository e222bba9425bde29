"""A traced EpollDispatcher and its waiters."""

from __future__ import annotations

from pybrpc.base.deadline import NEVER
from pybrpc.testing.step_scheduler import StepScheduler
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.poller_role import NOBODY, Waiter
from tests.schedules.traced import TracedCounter, TracedLock


class TracedWaiter(Waiter):
    def __init__(self, scheduler: StepScheduler, name: str) -> None:
        self._scheduler = scheduler
        super().__init__()
        self._turnstile = TracedLock(scheduler, name, is_locked=True)  # type: ignore[assignment]

    @property
    def is_gone(self) -> bool:  # type: ignore[override]
        self._scheduler.point("look whether it is gone")
        return self._is_gone

    @is_gone.setter
    def is_gone(self, is_gone: bool) -> None:
        self._scheduler.point("say whether it is gone")
        self._is_gone = is_gone

    def sleep(self, deadline: float) -> bool:
        return self._turnstile.acquire()


class TracedDispatcher(EpollDispatcher):
    """Its kernel: each waiter is answered in the first turn after it was asked for."""

    def __init__(self, scheduler: StepScheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self.asked: list[Waiter] = []
        self.is_woken = False
        self._is_started = True
        self._main_thread = NOBODY
        seat = self._seat
        seat._taken = TracedLock(scheduler, "the seat", is_locked=False)
        seat._nap = TracedLock(scheduler, "the nap", is_locked=True)
        seat._attended = TracedCounter(scheduler)

    def _turn(self, longest_s: float) -> None:
        super()._turn(longest_s)
        self._scheduler.point("the turn is over")

    def _poll(self, timeout: float) -> list[tuple[int, int]]:
        while not (self.asked or self._posted or self.is_woken):
            self._scheduler.wait_for_others()
        self.is_woken = False
        while self.asked:
            self.asked.pop(0).end()
        return []

    def _wake(self) -> None:
        self.is_woken = True

    def call(self, waiter: Waiter) -> None:
        self.asked.append(waiter)
        self._scheduler.point("asked")
        assert self.wait(waiter, NEVER)
