"""Notifying: the part of a Server that notifies systemd of its state."""

from __future__ import annotations

import contextlib

from pybrpc.errors import ServerStateError
from pybrpc.server.lifecycle.running_server import RunningServer
from pybrpc.server.lifecycle.systemd_notifier import SystemdNotifier


class Notifying:
    """A base class of Server."""

    def _current_run(self) -> RunningServer | None:
        raise NotImplementedError

    def notifying_systemd(self) -> contextlib.AbstractContextManager[object]:
        """Inside the block systemd is notified: that the server serves (READY=1), that a stop has
        begun (STOPPING=1), and as often as WatchdogSec= wants that dispatcher and loop work.

        For programs that do without `run_until_asked_to_quit`, in asyncio too. Nothing blocks or
        raises, and nothing happens if systemd has not set NOTIFY_SOCKET. ServerStateError: the
        server was not started.
        """
        run = self._current_run()
        if run is None:
            raise ServerStateError("start the server before systemd is notified that it serves")
        status = f"Serving on {run.acceptor.endpoint}"
        return SystemdNotifier(run.dispatcher, run.drain, status, run.loop_beside_dispatcher)
