"""LoopThread: an asyncio loop in a daemon thread, which runs until it is told to end.

Code that runs in a loop can end it: with `loop.stop()`, or by a SystemExit or KeyboardInterrupt
that a task raises. The functions that the loop had to call next stay in it. So it is run again, and
goes on where it was.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from pybrpc.base.deadline import remaining_s
from pybrpc.base.guard import SERVER, run_guarded
from pybrpc.base.limited_log import LimitedLog

MAX_ROUNDS = 8
"""Rounds in which tasks are cancelled at the end: tasks may begin others meanwhile, or stop the
loop."""

SOON_S = 0.1
"""A loop that ends within this time in seconds runs again after a pause."""

MIN_PAUSE_S = 0.001
"""The first pause in seconds; it comes before the second restart. Each one after it is longer."""

MAX_PAUSE_S = 1.0
"""The longest pause, in seconds."""


class LoopThread:
    """The thread, and the loop that runs in it."""

    __slots__ = ("_is_ending", "_log", "_on_restart", "_thread", "loop")

    def __init__(self, name: str, on_restart: Callable[[], object]) -> None:
        """`on_restart` is called in the thread before the loop runs again, or a new loop does
        because something has closed the last one."""
        self.loop = asyncio.new_event_loop()
        self._on_restart = on_restart
        self._is_ending = False
        self._log = LimitedLog(SERVER)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start. RuntimeError if no thread can be started: then the loop is closed."""
        try:
            self._thread.start()
        except BaseException:
            self.loop.close()
            raise

    def end(self) -> None:
        """End the loop, and its thread. Called in the loop."""
        self._is_ending = True
        self.loop.stop()

    def join(self, deadline: float) -> None:
        """Wait for the end of the thread, unless this is it."""
        if self._thread is not threading.current_thread():
            self._thread.join(remaining_s(deadline))

    def _run(self) -> None:
        try:
            # Another thread can set an exception in this one, as time limits do which come too
            # late: it ends the loop, or a pause, but not the thread.
            what = f"the thread {self._thread.name}"
            while not run_guarded(self._run_until_end, what=what, log=SERVER):
                continue
            self._finish()
        finally:
            if self._is_ending:
                asyncio.set_event_loop(None)
                self.loop.close()
            else:  # a second exception, in the handling of the first
                self._thread = threading.Thread(
                    target=self._run, name=self._thread.name, daemon=True
                )
                self._thread.start()

    def _run_until_end(self) -> None:
        asyncio.set_event_loop(self.loop)
        pause_s = 0.0
        while not self._is_ending:
            began_at = time.monotonic()
            self._run_loop()
            if self._is_ending:
                break
            # Without pauses, a loop that can't run at all would keep a processor busy.
            if time.monotonic() - began_at > SOON_S:
                pause_s = 0.0
                continue
            time.sleep(pause_s)
            pause_s = min(MAX_PAUSE_S, max(MIN_PAUSE_S, 2 * pause_s))

    def _run_loop(self) -> None:
        """Run the loop until something ends it."""
        reason: BaseException | None = None
        try:
            self.loop.run_forever()
        except BaseException as error:
            reason = error
        if self._is_ending:
            return
        self._log.warn(
            "the loop of async handlers was ended by one of its tasks; it runs again", reason=reason
        )
        # Still running: it was interrupted a second time, while it ended.
        if self.loop.is_closed() or self.loop.is_running():
            run_guarded(self._renew_loop, what="making a new loop for async handlers", log=SERVER)
        run_guarded(self._on_restart, what="restarting the loop of async handlers", log=SERVER)

    def _renew_loop(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    def _finish(self) -> None:
        """Cancel and await what is left in the loop, as `asyncio.run` does."""
        loop = self.loop
        cancelled: set[asyncio.Task[object]] = set()
        for _ in range(MAX_ROUNDS):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks - cancelled:
                task.cancel()
            cancelled |= tasks
            run_guarded(self._await, tasks, what="a task of the loop of async handlers", log=SERVER)
        for end in (loop.shutdown_asyncgens, loop.shutdown_default_executor):
            try:
                loop.run_until_complete(end())
            except BaseException as error:
                SERVER.caught("%s of the loop of async handlers raised", end.__name__, error=error)

    def _await(self, tasks: set[asyncio.Task[object]]) -> None:
        self.loop.run_until_complete(asyncio.wait(tasks))

    def __repr__(self) -> str:
        return f"<LoopThread {self._thread.name}{', ending' if self._is_ending else ''}>"
