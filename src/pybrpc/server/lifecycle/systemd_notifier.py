"""SystemdNotifier: notifies systemd of the state of a server, for a unit of Type=notify."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import escaped
from pybrpc.server.lifecycle.drain import Drain
from pybrpc.server.lifecycle.sd_notify import is_systemd_listening, sd_notify, watchdog_s
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.dispatch.periodic import PeriodicTimer

RETRY_S = 0.1
"""Seconds after which a state is sent again that systemd had no room for."""


class SystemdNotifier:
    """A context manager. systemd receives

        READY=1     at the beginning of the block
        STOPPING=1  when a stop begins, before its drain, or at the end of the block
        RELOADING=1, and then READY=1    by `on_restart`
        WATCHDOG=1  twice in WATCHDOG_USEC, as long as turns of the dispatcher run, and turns of the
                    loop in which handlers run

    All is sent in turns of the dispatcher: nothing here blocks or raises. Without NOTIFY_SOCKET in
    the environment nothing happens, and in a forked child neither.
    """

    def __init__(
        self,
        dispatcher: EventDispatcher,
        drain: Drain,
        status: str,
        loop_of: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None,
    ) -> None:
        """status   what `systemctl status` shows while it serves: "Serving on 127.0.0.1:8000"
        loop_of  returns the loop of handlers, if the dispatcher does not run in it
        """
        self._dispatcher = dispatcher
        self._drain = drain
        self._status = escaped(status)
        self._loop_of = loop_of
        self._pid = os.getpid()
        self._is_stopping = OnceFlag()
        self._unsent: tuple[str, ...] = ()
        """The latest state, if systemd had no room for it. Used in turns only."""
        self._retry = PeriodicTimer(dispatcher, self._send_again)
        self._watchdog_s = watchdog_s()
        self._watchdog = PeriodicTimer(dispatcher, self._show_life)

    def __enter__(self) -> Self:
        if is_systemd_listening():
            self._tell_ready()
            if self._watchdog_s is not None:
                self._watchdog.start(0.0)
            self._drain.notify_stop(self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchdog.stop()
        self._stop()

    def on_restart(self, has_begun: bool) -> None:
        """The workers are being replaced now, or that is over. Any thread."""
        if not has_begun:
            self._tell_ready()
        elif not self._is_stopping.is_set():
            # CLOCK_MONOTONIC, by which systemd knows that this answers its signal.
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def _tell_ready(self) -> None:
        if not self._is_stopping.is_set():
            self._tell("READY=1", f"STATUS={self._status}")

    def _stop(self) -> None:
        if self._is_stopping.try_set():
            self._tell("STOPPING=1", "STATUS=Stopping: running requests are answered")

    def _tell(self, *lines: str) -> None:
        if not is_systemd_listening() or os.getpid() != self._pid:
            return
        try:
            self._dispatcher.post(partial(self._send, lines))
        except DispatcherClosedError:
            sd_notify(*lines)

    # --- in turns ---

    def _send(self, lines: tuple[str, ...]) -> None:
        self._unsent = () if sd_notify(*lines) else lines
        if self._unsent:
            self._retry.start(RETRY_S)

    def _send_again(self, now: float) -> float | None:
        if self._unsent and sd_notify(*self._unsent):
            self._unsent = ()
        return RETRY_S if self._unsent else None

    def _show_life(self, now: float) -> float | None:
        loop = self._loop_of()
        if loop is None:
            _send_watchdog()
        else:
            with contextlib.suppress(RuntimeError):  # It was closed.
                loop.call_soon_threadsafe(_send_watchdog)
        return None if self._watchdog_s is None else self._watchdog_s / 2

    def __repr__(self) -> str:
        state = "stopping" if self._is_stopping.is_set() else "serving"
        return f"<SystemdNotifier of {self._status!r}, {state}>"


def _send_watchdog() -> None:
    # One that is lost does not matter: the next one comes in time.
    sd_notify("WATCHDOG=1")
