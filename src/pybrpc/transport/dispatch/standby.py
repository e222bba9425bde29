"""StandbyPoller: a second thread that polls when the work between two turns takes long.

Waking another thread for a fast handler costs more than the handler. So the polling thread runs
inline tasks itself, between turns: it begins inline work, runs the tasks, and ends inline work. A
second thread, the standby thread, waits. While there are such tasks it checks them once a
millisecond; when tasks last longer than that, it takes over the poller role and the loop. The first
thread finds that out when it ends its inline work, and is the standby thread from then on.

On a busy machine the first thread may only have been displaced from its processor meanwhile: then
a handover gains nothing, and two threads fight for the GIL afterwards. So a thread that is not
blocked may take MAX_RUNNING_S.

Each check costs the polling thread some switches, as both need the GIL. So where tasks come all the
time, and none was handed over for STEADY_CHECKS checks, the standby thread checks less often.

Which of the two threads polls is decided by one OnceFlag, `_is_claimed`. It is clear while inline
work is done that was not handed over, and only then. The thread that sets it polls: the one that
ends its inline work, or the standby thread. The poller role is held all the time, so no third
thread can acquire it.

Before the standby thread sleeps for long, it sets `_is_asleep` and then looks at the flag and at
the number of times that inline work was begun; a thread that begins inline work counts, clears the
flag and then looks at `_is_asleep` ("store, then load", see base.atomic).
"""

from __future__ import annotations

import threading
import time
from threading import get_ident
from time import monotonic

from pybrpc.base.flags import OnceFlag, WakeSignal
from pybrpc.base.guard import TRANSPORT
from pybrpc.base.thread_start import start_thread
from pybrpc.base.thread_usage import is_blocked
from pybrpc.transport.dispatch.event_dispatcher import Continuation, InlineTask
from pybrpc.transport.dispatch.poller_role import NO_THREAD, PollerRole

MAX_INLINE_S = 0.001
"""Longest delay of the loop by inline tasks, in seconds."""

MAX_RUNNING_S = 0.005
"""Longest delay, in seconds, while the thread that runs them is not blocked: it computes, or waits
for a processor. A thread that computes keeps the GIL for as long (`sys.getswitchinterval`)."""

IDLE_WAITS = 16
"""After this many waits of MAX_INLINE_S without inline work the standby thread sleeps until
woken."""

STEADY_CHECKS, STEADY_CHECK_S = 256, 0.005
"""After this many checks, each of which has found a newer task, without a handover, there is one
every STEADY_CHECK_S seconds: a task that lasts longer than MAX_INLINE_S is found so much later."""

CLAIM_WAITS = 1000
"""Waits of MAX_INLINE_S until a thread that polls has told so."""

WAKE_GAP_S = 0.002
"""A sleeping standby thread is woken when two tasks are offered within this time; rarer ones gain
nothing by it."""


class StandbyPoller:
    """Decides which of two threads polls; the other one, the standby thread, waits in it."""

    __slots__ = (
        "_began_at",
        "_begun",
        "_is_asleep",
        "_is_claimed",
        "_is_ended",
        "_is_urgent",
        "_native_ids",
        "_offered_at",
        "_signal",
        "claimed_by",
        "inline_thread",
        "is_waiting",
    )

    def __init__(self) -> None:
        self.inline_thread = NO_THREAD
        """The identifier of the thread that runs inline tasks, handed over or not."""
        self.is_waiting = False
        """Whether a standby thread waits."""
        self.claimed_by = 0
        """The identifier of the thread that has set `_is_claimed`: the one that polls."""
        self._is_claimed = OnceFlag()
        self._is_claimed.try_set()
        self._signal = WakeSignal()
        self._began_at = 0.0
        self._begun = 0
        self._native_ids: dict[int, int] = {}
        """Those of the two threads, as the system knows them."""
        self._offered_at = 0.0
        self._is_asleep = False
        self._is_urgent = False
        self._is_ended = False

    # --- the polling thread ---

    def is_available(self) -> bool:
        """Whether a standby thread waits and does not sleep. Calling this often wakes a sleeping
        one."""
        if not self.is_waiting:
            return False
        if not self._is_asleep:
            return True
        now = monotonic()
        if now - self._offered_at < WAKE_GAP_S:
            self._signal.set()
        self._offered_at = now
        return False

    def begin_inline(self) -> None:
        """Allow a handover from now on. Only if a standby thread waits."""
        self.inline_thread = get_ident()
        self._is_urgent = False
        self._began_at = monotonic()
        self._begun += 1
        self.claimed_by = 0
        self._is_claimed.clear()
        if self._is_asleep:
            self._signal.set()

    def is_handed_over(self) -> bool:
        """Between `begin_inline` and `end_inline`: whether another thread polls now."""
        return self._is_claimed.is_set()

    def end_inline(self) -> bool:
        """Poll again; False if another thread does."""
        self.inline_thread = NO_THREAD
        if not self._is_claimed.try_set():
            return False
        self.claimed_by = get_ident()
        return True

    # --- any thread ---

    def hand_over_now(self) -> None:
        """Have the standby thread poll at once: the inline task blocks."""
        self._is_urgent = True
        self._signal.set()

    def end(self) -> None:
        """End the standby thread's wait: the dispatcher is closed."""
        self._is_ended = True
        self._signal.set()

    # --- the standby thread ---

    def wait_for_handover(self) -> bool:
        """Block until this thread is to poll; False after `end`."""
        self._native_ids[get_ident()] = threading.get_native_id()
        self.is_waiting = True
        self._is_asleep = False
        idle_waits, steady_checks, begun = 0, 0, self._begun
        while not self._is_ended:
            if self._is_overdue() and self._is_claimed.try_set():
                self.claimed_by = get_ident()
                self.is_waiting = False
                return True
            if begun == self._begun:
                idle_waits += 1
            else:
                idle_waits = 0
                steady_checks += 1
            begun = self._begun
            if idle_waits == 0 and steady_checks > STEADY_CHECKS:
                self._signal.wait(STEADY_CHECK_S)
            elif idle_waits < IDLE_WAITS:
                self._signal.wait(self._seconds_until_overdue())
            else:
                self._sleep(begun)
                idle_waits = steady_checks = 0
        self.is_waiting = False
        return False

    # --- one of the two ---

    def claim(self) -> None:
        """The calling thread polls: it is the first of the two."""
        self._native_ids[get_ident()] = threading.get_native_id()
        self.claimed_by = get_ident()

    # --- one of the two, after an exception that another thread has set in it ---

    def is_mine(self) -> bool:
        """Whether the calling thread polls. It polls from now on if nobody does."""
        me = get_ident()
        if self.inline_thread == me:
            self.inline_thread = NO_THREAD
        if self._is_claimed.try_set():
            self.claimed_by = me
        waits = 0
        while self.claimed_by == 0 and waits < CLAIM_WAITS:
            waits += 1
            time.sleep(MAX_INLINE_S)
        if self.claimed_by == 0:
            # The other thread would have told: this one was interrupted before it could.
            self.claimed_by = me
        return self.claimed_by == me

    def _is_overdue(self) -> bool:
        if self._is_claimed.is_set():
            return False
        if self._is_urgent:
            return True
        begun, lasted_s = self._begun, monotonic() - self._began_at
        if lasted_s < MAX_INLINE_S or lasted_s >= MAX_RUNNING_S:
            return lasted_s >= MAX_INLINE_S
        return is_blocked(self._native_ids.get(self.inline_thread, 0)) and begun == self._begun

    def _seconds_until_overdue(self) -> float:
        if self._is_claimed.is_set():
            return MAX_INLINE_S
        left_s = self._began_at + MAX_INLINE_S - monotonic()
        return left_s if left_s > 0 else MAX_INLINE_S

    def _sleep(self, begun: int) -> None:
        self._is_asleep = True
        if self._is_claimed.is_set() and begun == self._begun and not self._is_ended:
            self._signal.wait()
        self._is_asleep = False


class InlineTasks:
    """The tasks that the polling thread runs between two turns while a standby thread waits."""

    __slots__ = (
        "_begun",
        "_name",
        "_role",
        "has_standby",
        "is_open",
        "is_paused",
        "standby",
        "standby_thread",
        "tasks",
    )

    def __init__(self, role: PollerRole, name: str) -> None:
        self._role = role
        self._name = name
        self.standby = StandbyPoller()
        self.has_standby = False
        """Whether the start of a standby thread was tried."""
        self.standby_thread: threading.Thread | None = None
        self.tasks: list[InlineTask] = []
        """Tasks to run after this turn."""
        self.is_open = False
        """Whether tasks may be added: the dispatcher's own thread polls."""
        self.is_paused = False
        """Whether the role is kept, but no thread polls, or a handover is under way."""
        self._begun: list[InlineTask] = []

    def start_standby_thread(self, function: Continuation) -> None:
        """Start the thread, once, to run `function`. Without it no task is ever accepted."""
        self.has_standby = True
        name = f"{self._name}-standby"
        thread = threading.Thread(target=function, name=name, daemon=True)
        try:
            start_thread(thread)
        except RuntimeError as error:
            TRANSPORT.warning("%s can't start a second thread: %s", self._name, error)
        else:
            self.standby_thread = thread

    def add(self, task: InlineTask) -> bool:
        """Run `task` after this turn. False if no standby thread waits, or it sleeps."""
        if not self.standby.is_available():
            return False
        self.tasks.append(task)
        return True

    def run(self) -> bool:
        """Run the tasks, outside of turns. False if they were handed over meanwhile."""
        standby = self.standby
        self._begun, self.tasks = self.tasks, []
        self.is_open = False
        self.is_paused = True
        self._role.pause()
        standby.begin_inline()
        self._run_each(self._begun)
        if not standby.end_inline():
            return False
        self._begun = []
        self.resume()
        self.is_open = True
        return True

    def resume(self) -> None:
        """Poll in the calling thread from now on."""
        self._role.resume()
        self.is_paused = False

    def is_handed_over(self) -> bool:
        """As in StandbyPoller, but not in the `.pxd`: tasks get it as a callback."""
        return self.standby.is_handed_over()

    def _run_each(self, tasks: list[InlineTask]) -> None:
        for task in tasks:
            if self.standby.is_handed_over():
                break
            try:
                task.run(self.is_handed_over)
            except BaseException as error:
                TRANSPORT.caught("an inline task of %s raised", self._name, error=error)

    def take_begun(self) -> list[Continuation]:
        """After a handover: functions to post, each of which hands over one of the tasks."""
        begun, self._begun = self._begun, []
        return [task.hand_over for task in begun]
