"""A DirectDispatcher with traced parts, over a shared dispatcher and a kernel that are traced too.

The peer answers each request at once. Between two points of the scheduler one thread runs alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any

from pybrpc.base.deadline import NEVER
from pybrpc.testing.step_scheduler import StepScheduler, TracedRef
from pybrpc.transport.dispatch.direct_dispatcher import READABLE, DirectDispatcher
from pybrpc.transport.dispatch.direct_waiter import DirectWaiter
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from tests.schedules.traced import TracedDeque, TracedSlot

FD = 7
FLAGS = ("_has_missed", "_is_recalled", "_is_silent", "_wants_listening")


class Shared:
    """The shared dispatcher: one thread of the scheduler runs `run`."""

    def __init__(self, scheduler: StepScheduler, kernel: Kernel) -> None:
        self._scheduler = scheduler
        self._kernel = kernel
        self._posted: deque[Callable[[], None]] = deque()
        self._thread = -1
        self.is_closed = False
        self.is_held: Callable[[], bool] = bool

    def run(self, is_over: Callable[[], bool]) -> None:
        """Turns, until nothing is left and `is_over`."""
        self._thread = get_ident()
        while True:
            if self._posted:
                self._posted.popleft()()
            elif self._kernel.has_event():
                self._kernel.reader()
                while self.is_held():  # the one that has the turns is about to leave
                    self._scheduler.wait_for_others()
            elif is_over():
                break
            else:
                self._scheduler.wait_for_others()
        self._thread = -1

    def is_current(self) -> bool:
        return get_ident() == self._thread

    def post(self, function: Callable[[], None]) -> None:
        self._scheduler.point("post")
        if self.is_closed:
            raise DispatcherClosedError("closed")
        self._posted.append(function)

    post_cleanup = post

    def set_silent(self, fd: int, is_silent: bool) -> bool:
        self._scheduler.point("silent" if is_silent else "listen")
        self._kernel.is_silent = is_silent
        return is_silent

    def add_reader(self, fd: int, function: Callable[[], None]) -> None:
        self._kernel.reader = function
        self._kernel.is_silent = False


class Kernel:
    """One connection: responses that have come, and whether the peer has closed."""

    def __init__(self) -> None:
        self.reader: Any = None
        self.is_silent = False
        self.responses = 0
        self.is_closed = False
        self._has_told = False

    def has_event(self) -> bool:
        """Whether the shared dispatcher is notified: of the end once, while it is silent."""
        if not self.is_silent:
            return self.responses > 0
        if self.is_closed and not self._has_told:
            self._has_told = True
            return True
        return False


class SteppedWaiter(DirectWaiter):
    """It waits for the kernel as other threads let it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self._is_woken = False

    def can_poll(self) -> bool:
        return True

    def wake(self) -> None:
        self.end_poll()

    def end_poll(self) -> None:
        self._is_woken = True

    def poll(self, fd: int, mask: int, timeout_s: float) -> int:
        stage = self._stage
        stage.scheduler.point("poll")
        while True:
            if mask & READABLE and stage.kernel.responses:
                return READABLE
            if self._is_woken:
                self._is_woken = False
                return 0
            stage.scheduler.wait_for_others()


class Stage:
    """One connection, what callers and others do with it, and what must hold."""

    def __init__(
        self, scheduler: StepScheduler, *, mutations: dict[str, Any] | None = None
    ) -> None:
        self.scheduler = scheduler
        self.kernel = Kernel()
        self.shared = Shared(scheduler, self.kernel)
        slots = {name: getattr(DirectDispatcher, name) for name in FLAGS}
        traced = {name: TracedSlot(scheduler, slot, name) for name, slot in slots.items()}
        made: Any = type("TracedDirect", (DirectDispatcher,), {**traced, **(mutations or {})})
        self.direct: DirectDispatcher = made(self.shared)
        holder: TracedRef[Any] = TracedRef(scheduler, None)
        self.direct._holder = holder
        self.shared.is_held = lambda: not self.kernel.is_silent and holder._ref.get() is not None
        self.direct._left = TracedDeque(scheduler, "what is left")
        self._calls: deque[DirectWaiter] = deque()
        self._inside: int | None = None
        self._users = 0
        self.ran: list[Any] = []
        self.direct.add_reader(FD, self._read)

    def in_turn(self, function: Callable[[], None]) -> None:
        """Nobody else may be in a turn meanwhile."""
        assert self._inside is None, "two threads have the turns"
        assert self.direct.is_current()
        self._inside = get_ident()
        self.scheduler.point("in a turn")
        function()
        self._inside = None

    def _read(self) -> None:
        self.in_turn(self._take_response)

    def _take_response(self) -> None:
        if self.kernel.responses:
            self.kernel.responses -= 1
            self._calls.popleft().end()

    def call(self) -> None:
        """A thread that blocks: it reads its response itself, or the shared dispatcher does."""
        waiter = SteppedWaiter(self)
        self.direct.try_enter(waiter)
        self._send(waiter)
        if waiter.entered is not None:
            self.direct.read_for(waiter, NEVER)
        while not waiter.is_over:
            self.scheduler.wait_for_others()

    def call_without_waiting(self) -> None:
        """A future: nobody reads for it."""
        self._send(SteppedWaiter(self))

    def _send(self, waiter: DirectWaiter) -> None:
        self._calls.append(waiter)
        if waiter.entered is None:
            self.direct.require_reader()
        self.scheduler.point("sent")
        self.kernel.responses += 1
        self.scheduler.point("answered")

    def post(self, name: Any) -> None:
        self.direct.post(lambda: self.in_turn(lambda: self.ran.append(name)))

    def post_cleanup(self, name: Any) -> None:
        self.direct.post_cleanup(lambda: self.in_turn(lambda: self.ran.append(name)))

    def close_by_peer(self) -> None:
        self.scheduler.point("the peer closes")
        self.kernel.is_closed = True
        self.scheduler.point("has closed")

    def run(self, *functions: Callable[[], None]) -> None:
        """Run them, beside the shared dispatcher, and check what must hold at the end."""
        left = len(functions)

        def counted(function: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                nonlocal left
                function()
                left -= 1

            return run

        def is_over() -> bool:
            return left == 0

        self.scheduler.run(lambda: self.shared.run(is_over), *map(counted, functions))
        assert not self._calls, "a call has got no response"
        assert not self.direct._left
        assert not self.direct._own_posts
        assert self.direct._holder.get() is None
