"""StepDispatcher: an EventDispatcher whose turns the test itself is."""

from __future__ import annotations

from collections.abc import Callable


class StepTimer:
    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function

    def cancel(self) -> None:
        self.function = lambda: None


class StepDispatcher:
    flushes_at_turn_end = True

    def __init__(self) -> None:
        self.timers: list[StepTimer] = []

    def is_current(self) -> bool:
        return True

    def run_after_turn(self, task: object) -> bool:
        return False

    def post(self, function: Callable[[], None]) -> None:
        function()

    def call_at(self, deadline: float, function: Callable[[], None]) -> StepTimer:
        timer = StepTimer(function)
        self.timers.append(timer)
        return timer

    def fire_timers(self) -> int:
        """Run the timers that are set now, whatever their time; say how many there were."""
        timers, self.timers = self.timers, []
        for timer in timers:
            timer.function()
        return len(timers)

    def add_reader(self, fd: int, function: Callable[[], None]) -> None:
        raise NotImplementedError

    def remove_reader(self, fd: int) -> None:
        raise NotImplementedError

    def add_writer(self, fd: int, function: Callable[[], None]) -> None:
        raise NotImplementedError

    def remove_writer(self, fd: int) -> None:
        raise NotImplementedError
