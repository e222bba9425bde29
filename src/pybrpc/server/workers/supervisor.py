"""Supervisor: several processes that serve one address.

An interpreter runs Python code on one core at a time. So a service that has more to do runs in
several processes, which share its port; a Supervisor starts them, and starts again those that die.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Self

from pybrpc.base.deadline import checked_timeout_s, deadline_after
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import PyBrpcError, ServerStateError
from pybrpc.server.lifecycle.signals import handling, quit_signals
from pybrpc.server.server import DEFAULT_GRACE_S
from pybrpc.server.workers.listeners import Listeners
from pybrpc.server.workers.settings import SupervisorSettings
from pybrpc.server.workers.supervisor_statistics import SupervisorStatistics
from pybrpc.server.workers.worker_group import WorkerGroup
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

START_TIMEOUT_S = 60.0


class WorkerStartError(PyBrpcError, RuntimeError):
    """A worker could not start, so the supervisor has not. The text says why."""


class Supervisor:
    """Serves with `workers` processes, each of which makes its own server.

        with Supervisor("echo_server:make_server", workers=4) as supervisor:
            supervisor.start("0.0.0.0:8000")
            supervisor.run_until_asked_to_quit()

    `target` names what gives a `Server` with its services added: a function; a coroutine function,
    then the server is bound to the worker's loop; or the server itself. A worker is a fresh
    interpreter that imports it with this process's `sys.path`.

    A worker that dies is started again, at once if it has served for 10 seconds, else after a pause
    that grows to 30. When this process dies, however, the workers stop.

    All methods but `start` may be called from any thread. On Unix only.
    """

    def __init__(
        self,
        target: str,
        *,
        workers: int = 1,
        grace: float | None = DEFAULT_GRACE_S,
        start_timeout: float = START_TIMEOUT_S,
        loop: str = "asyncio",
        log_level: str = "",
    ) -> None:
        """
        target         "package.module:make_server"
        workers        processes; `Server(max_workers=...)` is threads in each of them
        grace          seconds that the running requests of a worker get when it is replaced, told
                       to stop by a signal, or when this process is gone; `None`: no limit
        start_timeout  seconds that a worker may take until it serves
        loop           "asyncio" or "uvloop", for a coroutine function
        log_level      "debug", "info", "warning" or "error": set up logging in the workers; "":
                       leave that to `target`
        """
        self._settings = SupervisorSettings(target, workers, grace, start_timeout, loop, log_level)
        self._crew: WorkerGroup | None = None
        self._dispatcher: EpollDispatcher | None = None
        self._endpoint: Endpoint | None = None
        self._is_asked_to_quit = False

    def start(self, address: str | Endpoint) -> Endpoint:
        """Start the workers on "host:port", port 0 for a free one; return where, once all serve.

        Blocks. AddressError, ListenError; WorkerStartError if one of them can't serve, then none
        is left; ServerStateError if it runs already.
        """
        if self.is_running:
            raise ServerStateError(f"the supervisor runs already, on {self._endpoint}")
        endpoint = Endpoint.parse(address, allow_port_0=True)
        listeners = Listeners(endpoint, self._settings.workers)
        self._endpoint = listeners.endpoint
        self._dispatcher = EpollDispatcher("pybrpc-supervisor")
        worker_group = self._crew = WorkerGroup(self._settings, listeners, self._dispatcher)
        self._dispatcher.post(worker_group.start)
        try:
            if self._is_asked_to_quit:
                self.stop(0.0)
            worker_group.started.wait()
        except BaseException:
            self.stop(0.0)
            self.join()
            raise
        if worker_group.failure:
            self.join()
            raise WorkerStartError(worker_group.failure)
        return self._endpoint

    @property
    def endpoint(self) -> Endpoint:
        """Where the workers listen; ServerStateError before the first start."""
        if self._endpoint is None:
            raise ServerStateError("the supervisor was not started")
        return self._endpoint

    @property
    def is_running(self) -> bool:
        """Whether it was started and is not over; true while it stops."""
        return self._crew is not None and not self._crew.stopped.is_set

    def restart(self) -> None:
        """Begin to replace the workers one by one, and return at once.

        A new one serves before the old one is told to stop, which has `grace` for its running
        requests and refuses others with ELOGOFF, so that their callers move on. If a new one can't
        serve, the old one stays, and so do the rest; that is logged. Never blocks.
        """
        self._tell(WorkerGroup.restart)

    def stop(self, grace: float | None = DEFAULT_GRACE_S) -> None:
        """Begin to stop all workers, as `Server.stop`, and return at once. Never blocks.

        A worker that has not ended 5 seconds after its grace is killed. A second call can bring the
        end forward.
        """
        grace_s = checked_timeout_s(grace, "grace")
        self._tell(lambda worker_group: worker_group.stop(grace_s))

    def join(self, timeout: float | None = None) -> bool:
        """Block until a stop is over, or for `timeout` seconds; say whether it is over."""
        deadline = deadline_after(checked_timeout_s(timeout))
        if self._crew is None:
            return True
        if not self._crew.stopped.wait(deadline):
            return False
        if self._dispatcher is not None:
            self._dispatcher.close()
        return True

    def run_until_asked_to_quit(self) -> None:
        """Block until Ctrl-C, SIGTERM or a `stop()`, then stop and join.

        A second Ctrl-C or SIGTERM ends the grace; SIGHUP is `restart()`; SIGUSR1 logs what
        `statistics()` gives. In another thread than the main one, which gets no signals, only
        `stop()` ends it.
        """
        if self._crew is None:
            raise ServerStateError("start the supervisor before run_until_asked_to_quit()")
        with self._obeying_signals():
            self.join()

    def statistics(self) -> SupervisorStatistics:
        """What the workers have done since the start: all together, those that are gone too; and
        each that is there.

        A worker tells what it has counted once a second and when it ends; one that is killed takes
        what it has not told with it.
        """
        worker_group = self._crew
        return SupervisorStatistics() if worker_group is None else worker_group.statistics()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop(self._settings.grace_s)
        self.join()

    def _tell(self, do: Callable[[WorkerGroup], None]) -> None:
        """Have the worker_group do something, if there is one. Any thread; never blocks."""
        worker_group, dispatcher = self._crew, self._dispatcher
        if worker_group is not None and dispatcher is not None and self.is_running:
            with contextlib.suppress(DispatcherClosedError):
                dispatcher.post(lambda: do(worker_group))

    @contextlib.contextmanager
    def _obeying_signals(self) -> Iterator[None]:
        """Inside the block signals do what `run_until_asked_to_quit` says."""
        self._is_asked_to_quit = False
        others = {
            signal.SIGHUP: self.restart,
            signal.SIGUSR1: lambda: self._tell(WorkerGroup.log_statistics),
        }
        with quit_signals(self._quit), handling(others):
            yield

    def _quit(self, signals: int) -> None:
        self._is_asked_to_quit = True
        self.stop(self._settings.grace_s if signals == 1 else 0.0)

    def __repr__(self) -> str:
        settings = self._settings
        if self._crew is None:
            state = "not started"
        elif not self.is_running:
            state = "stopped"
        else:
            state = f"{'stopping' if self._crew.is_stopping else 'running'} on {self._endpoint}"
        return f"<Supervisor of {settings.workers} workers for {settings.target}, {state}>"


def serve(
    target: str,
    address: str | Endpoint,
    *,
    workers: int = 1,
    grace: float | None = DEFAULT_GRACE_S,
    start_timeout: float = START_TIMEOUT_S,
    loop: str = "asyncio",
    log_level: str = "",
    on_started: Callable[[Endpoint], None] | None = None,
) -> SupervisorStatistics:
    """A Supervisor, from its start until it was asked to quit; what its workers have done.

    Signals are obeyed from the beginning; one that stops it before all workers serve makes it raise
    WorkerStartError. `on_started` is told where it serves, once it does.
    """
    supervisor = Supervisor(
        target,
        workers=workers,
        grace=grace,
        start_timeout=start_timeout,
        loop=loop,
        log_level=log_level,
    )
    with supervisor, supervisor._obeying_signals():
        endpoint = supervisor.start(address)
        if on_started is not None:
            on_started(endpoint)
        supervisor.join()
    return supervisor.statistics()
