"""Supervisor: several processes that serve one address.

An interpreter runs Python code on one core at a time. So a service that needs more cores runs in
several processes, which share its port. A Supervisor starts them, and replaces those that die.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Self, Unpack

from pybrpc.base.deadline import checked_timeout_s, deadline_after
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import WORKERS
from pybrpc.base.named_options import shows_options
from pybrpc.errors import ServerStateError, WorkerStartError
from pybrpc.server.lifecycle.drain import Drain
from pybrpc.server.lifecycle.signals import handling, quit_signals
from pybrpc.server.lifecycle.systemd_notifier import SystemdNotifier
from pybrpc.server.registering import Registering
from pybrpc.server.settings import DEFAULT_GRACE_S
from pybrpc.server.workers.listeners import new_listeners
from pybrpc.server.workers.pages.page_server import PageServer
from pybrpc.server.workers.settings import (
    SUPERVISOR_DEFAULTS,
    SupervisorOptions,
    SupervisorSettings,
)
from pybrpc.server.workers.supervisor_statistics import SupervisorStatistics
from pybrpc.server.workers.worker_group import WorkerGroup
from pybrpc.server.workers.worker_main import is_worker
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import Continuation, DispatcherClosedError
from pybrpc.transport.listening.acceptors import Where, where_to_listen


class Supervisor(Registering):
    """Serves with `workers` processes, each of which makes its own server.

        with Supervisor("echo_server:make_server", workers=4) as supervisor:
            supervisor.start("0.0.0.0:8000")
            supervisor.run_until_asked_to_quit()

    `target`, "package.module:name", names a function that returns a `Server` with its services
    added; or a coroutine function, then the server is bound to the worker's loop; or the server
    itself. A worker is a new interpreter that imports it with this process's `sys.path`.

    A worker that dies is replaced, at once if it has served for 10 seconds, else after a pause that
    grows to 30 seconds. When this process dies, however, the workers stop. The options are those of
    `SupervisorOptions`.

    All methods but `start` may be called from any thread. On Unix only.
    """

    @shows_options(SupervisorOptions, SUPERVISOR_DEFAULTS)
    def __init__(self, target: str, **options: Unpack[SupervisorOptions]) -> None:
        self._settings = SupervisorSettings.of(target, options)
        Registering.__init__(self)
        self._group: WorkerGroup | None = None
        self._drain: Drain | None = None
        self._dispatcher: EpollDispatcher | None = None
        self._endpoint: Endpoint | None = None
        self._pages: PageServer | None = None
        self._is_asked_to_quit = False

    __init__.__doc__ = SupervisorOptions.__doc__

    def start(self, address: str | Endpoint) -> Endpoint:
        """Start the workers on "host:port", port 0 for a free one; return the address. "fd://" and
        "fd://web" mean sockets that systemd has passed to this process, as for `Server.start`.

        Blocks until all serve; then it is registered. AddressError, ListenError; WorkerStartError
        if a worker can't serve, then all are stopped; ServerStateError if the supervisor runs
        already.
        """
        if self.is_running:
            raise ServerStateError(f"the supervisor runs already, on {self._endpoint}")
        if is_worker():
            raise ServerStateError(
                f"this process is a worker, so it can't start workers for {address}; put the code "
                'that serves behind `if __name__ == "__main__":`, as workers import its module'
            )
        where = where_to_listen(address)
        if isinstance(where, Endpoint):
            self._registrations.check_where(where)
        group, drain = self._new_group(where)
        self._group, self._drain = group, drain
        try:
            if self._is_asked_to_quit:
                self.stop(0.0)
            group.started.wait()
            if not group.failure:
                drain.open(self.endpoint)
        except BaseException:
            self.stop(0.0)
            self.join()
            raise
        if group.failure:
            self.join()
            raise WorkerStartError(group.failure)
        return self.endpoint

    def _new_group(self, where: Where) -> tuple[WorkerGroup, Drain]:
        """Bind, and start the workers. If this raises, nothing is left."""
        dispatcher = EpollDispatcher("pybrpc-supervisor")
        with contextlib.ExitStack() as stack:
            stack.callback(dispatcher.close)
            settings = self._settings
            listeners = new_listeners(where, settings.workers, dispatcher, settings.reuse_port)
            stack.callback(listeners.close)
            group = WorkerGroup(settings, listeners, dispatcher)
            stack.callback(group.give_up)
            drain = Drain(
                dispatcher,
                self._registrations,
                settings.drain_delay_s,
                lambda grace_s: _post_to(dispatcher, lambda: group.stop(grace_s)),
                group.drain,
            )
            pages = self._pages = self._new_pages(group, drain, listeners.endpoint)
            if pages is not None:
                stack.callback(pages.close)
            dispatcher.post(group.start)
            stack.pop_all()
        self._endpoint, self._dispatcher = listeners.endpoint, dispatcher
        return group, drain

    def _new_pages(self, group: WorkerGroup, drain: Drain, endpoint: Endpoint) -> PageServer | None:
        """The port of the pages, on which it listens already. ListenError."""
        port = self._settings.internal_port
        if port is None:
            return None
        pages = PageServer(
            group,
            endpoint,
            lambda: group.is_stopping or drain.has_begun,
            self._registrations,
        )
        where = pages.listen(port)
        WORKERS.info("the pages of all workers are on %s", where)
        return pages

    @property
    def internal_endpoint(self) -> Endpoint:
        """Address of the pages; ServerStateError before the first start, and without
        `internal_port`."""
        if self._pages is None:
            raise ServerStateError("the supervisor was not started with an internal_port")
        return self._pages.endpoint

    @property
    def endpoint(self) -> Endpoint:
        """Address of the workers; ServerStateError before the first start."""
        if self._endpoint is None:
            raise ServerStateError("the supervisor was not started")
        return self._endpoint

    @property
    def is_running(self) -> bool:
        """Whether the supervisor was started and has not stopped yet."""
        return self._group is not None and not self._group.stopped.is_set

    def restart(self) -> None:
        """Begin to replace the workers one by one, and return at once.

        A new one serves before the old one is told to stop, which has `grace` for its running
        requests and refuses others with ELOGOFF, so that their callers move on. The next one begins
        when the old one has ended: at most 5 seconds after its grace. If a new one can't
        serve, the old one stays, and so do the rest; that is logged. Never blocks.
        """
        self._post(WorkerGroup.restart)

    def stop(self, grace: float | None = DEFAULT_GRACE_S) -> None:
        """Begin to stop all workers, as `Server.stop`, and return at once. Never blocks.

        If it is registered, or has a `drain_delay`, that comes first, while all workers serve on.
        A worker that has not ended 5 seconds after its grace is killed. A second call can bring the
        end forward.
        """
        self._stop(checked_timeout_s(grace, "grace"), is_patient=False)

    def _stop(self, grace_s: float | None, *, is_patient: bool = True) -> None:
        """`stop`; but if it is patient, and a stop has begun, that may drain to its end."""
        if self._drain is not None and self.is_running:
            self._drain.stop(grace_s, is_patient=is_patient)

    def join(self, timeout: float | None = None) -> bool:
        """Block until all have stopped, or for `timeout` seconds; return whether they have."""
        deadline = deadline_after(checked_timeout_s(timeout))
        if self._group is None:
            return True
        if not self._group.stopped.wait(deadline):
            return False
        if self._pages is not None:
            self._pages.close()
        if self._dispatcher is not None:
            self._dispatcher.close()
        return True

    def run_until_asked_to_quit(self) -> None:
        """Block until Ctrl-C, SIGTERM or a `stop()`, then stop and join.

        A second Ctrl-C or SIGTERM ends the grace; SIGHUP is `restart()`; SIGUSR1 logs what
        `statistics()` gives. In another thread than the main one, which gets no signals, only
        `stop()` ends it.
        """
        if self._group is None:
            raise ServerStateError("start the supervisor before run_until_asked_to_quit()")
        with self._obeying_signals(), self.notifying_systemd():
            self.join()

    @contextlib.contextmanager
    def notifying_systemd(self) -> Iterator[None]:
        """As `Server.notifying_systemd`. A restart is RELOADING=1, and READY=1 when it is over. The
        workers send no notices. `run_until_asked_to_quit` and `serve` use it."""
        group, drain, dispatcher = self._group, self._drain, self._dispatcher
        if group is None or drain is None or dispatcher is None:
            raise ServerStateError("start the supervisor before systemd is notified that it serves")
        status = f"{self._settings.workers} workers serve on {self._endpoint}"
        with SystemdNotifier(dispatcher, drain, status) as notifier:
            group.on_restart = notifier.on_restart
            yield

    def statistics(self) -> SupervisorStatistics:
        """Counters since the start: of all workers, also those that have ended, and of each.

        A worker reports its counters once a second and when it ends. If a worker is killed, its
        counts since its last report are lost.
        """
        group = self._group
        return SupervisorStatistics() if group is None else group.statistics()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop(self._settings.grace_s)
        self.join()

    def _post(self, do: Callable[[WorkerGroup], None]) -> None:
        """Run `do` with the workers in a turn, if there are any. Any thread; never blocks."""
        group, dispatcher = self._group, self._dispatcher
        if group is not None and dispatcher is not None and self.is_running:
            _post_to(dispatcher, lambda: do(group))

    @contextlib.contextmanager
    def _obeying_signals(self) -> Iterator[None]:
        """Inside the block signals do what `run_until_asked_to_quit` says."""
        self._is_asked_to_quit = False
        others = {
            signal.SIGHUP: self.restart,
            signal.SIGUSR1: lambda: self._post(WorkerGroup.log_statistics),
        }
        with quit_signals(self._quit), handling(others):
            yield

    def _quit(self, signals: int) -> None:
        self._is_asked_to_quit = True
        self.stop(self._settings.grace_s if signals == 1 else 0.0)

    def _is_stopping(self) -> bool:
        group, drain = self._group, self._drain
        return group is not None and (group.is_stopping or (drain is not None and drain.has_begun))

    def __repr__(self) -> str:
        settings = self._settings
        if self._group is None:
            state = "not started"
        elif not self.is_running:
            state = "stopped"
        else:
            state = f"{'stopping' if self._is_stopping() else 'running'} on {self._endpoint}"
            state += self._registrations.description()
        return f"<Supervisor of {settings.workers} workers for {settings.target}, {state}>"


def _post_to(dispatcher: EpollDispatcher, function: Continuation) -> None:
    with contextlib.suppress(DispatcherClosedError):
        dispatcher.post(function)


@shows_options(SupervisorOptions, SUPERVISOR_DEFAULTS)
def serve(
    target: str,
    address: str | Endpoint,
    *,
    register: Iterable[str] = (),
    advertise: str | None = None,
    on_started: Callable[[Endpoint], None] | None = None,
    **options: Unpack[SupervisorOptions],
) -> SupervisorStatistics:
    """Start a Supervisor of `target`, wait until it was asked to quit, and return the counters of
    its workers.

    Signals are obeyed from the beginning; one that stops it before all workers serve makes it raise
    WorkerStartError. `on_started` is called with the address once all serve. It is registered at
    the URLs of `register`, as by `Supervisor.register(url, advertise)`. The options are those of
    `Supervisor`, and so are `target` and `address`.
    """
    supervisor = Supervisor(target, **options)
    for url in (register,) if isinstance(register, str) else register:
        supervisor.register(url, advertise)
    with supervisor, supervisor._obeying_signals():
        endpoint = supervisor.start(address)
        if on_started is not None:
            on_started(endpoint)
        with supervisor.notifying_systemd():
            supervisor.join()
    return supervisor.statistics()
