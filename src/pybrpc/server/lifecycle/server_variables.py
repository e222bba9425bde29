"""ServerVariables: what a running server exposes (Server::UpdateDerivedVars in C++ bRPC).

They are exposed from the time when the server listens to the end of its stop, below rpc_server_
and its port or its `server_info_name`. Two servers of one process with the same name: those of the
second one are below rpc_server_8000_2. In a forked child, where the server does not run, they are
hidden.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Sized
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import LIBRARY, run_guarded
from pybrpc.metrics.call_variables import expose_below_free_name
from pybrpc.metrics.names import calls_name, exposed_name
from pybrpc.metrics.process_variables import expose_once, expose_process_variables
from pybrpc.metrics.status import NumberOf, PassiveStatus, Status
from pybrpc.metrics.variable import Variable
from pybrpc.metrics.window import PerSecond
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.method_times import MethodTimes
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.server.http.asgi.mount import MountedApplication
from pybrpc.server.http.asgi.observed import MountCounts
from pybrpc.server.http.router import Mount
from pybrpc.server.lifecycle.library_variables import expose_library_variables
from pybrpc.tracing.rpcz_variables import expose_rpcz_variables
from pybrpc.transport.socket.socket_variables import expose_socket_variables

PREFIX = "rpc_server"
MAX_COUNTED = 512
CACHED_S = 0.1
"""If more calls than MAX_COUNTED run, they are counted by method at most every 0.1 seconds."""

_exposed: weakref.WeakSet[ServerVariables] = weakref.WeakSet()


class ServerVariables:
    """Made when a server is about to start: from then on its calls are counted.

    `close` ends that. Nothing here raises. Any thread, but for `expose` and `close`, which are
    called once each.
    """

    def __init__(self, core: ServerCore, connections: Sized) -> None:
        self._entries = core.registry.entries()
        self._name = core.settings.server_info_name
        self.builtin_service_count = 0
        """Services of the library itself that the server has."""
        self._running = RunningCalls(core.admission)
        self.stem = ""
        """The names of its variables begin with it and "_", once they are exposed."""
        self.are_kept = False
        """Whether they stay exposed when the server stops: somebody else will close them."""
        self._times: list[tuple[MethodEntry | MountCounts, MethodTimes]] = []
        errors, services = core.non_service_errors, core.registry.service_names
        started = time.monotonic()
        self._variables: dict[str, Variable] = {
            "concurrency": PassiveStatus(
                lambda: len(core.admission.running), help="Requests that run"
            ),
            "max_concurrency": PassiveStatus(
                lambda: core.admission.max_concurrency, help="Limit of the server; 0: none"
            ),
            "rejected": PassiveStatus(
                lambda: core.admission.rejected,
                help="Requests that the limit of the server has refused",
                is_counter=True,
            ),
            "connection_count": NumberOf(lambda: len(connections), help="Open connections"),
            "error": errors,
            "eps": PerSecond(errors, help="Such errors per second"),
            "service_count": NumberOf(lambda: len(services), help="Services that were added"),
            "builtin_service_count": NumberOf(
                lambda: self.builtin_service_count, help="Services of the library itself"
            ),
            "start_time": Status(time.strftime("%Y/%m/%d-%H:%M:%S")),
            "uptime": PassiveStatus(
                lambda: time.monotonic() - started, help="Seconds since the start"
            ),
        }
        for entry in self._entries:
            self._count(entry)

    def _count(self, entry: MethodEntry) -> None:
        name = entry.full_name
        more: dict[str, Variable] = {
            "_concurrency": PassiveStatus(
                lambda: self._running.of(entry), help=f"Calls of {name} that run"
            ),
            "_max_concurrency": PassiveStatus(
                lambda: entry.max_concurrency, help=f"Limit of {name}; 0: none"
            ),
            "_rejected": PassiveStatus(
                lambda: entry.rejected,
                help=f"Requests that the limit of {name} has refused",
                is_counter=True,
            ),
        }
        entry.times = times = MethodTimes(name, more)
        self._times.append((entry, times))

    def count_mounts(self, mounts: Iterable[Mount]) -> None:
        """Count the requests of mounted applications too. Before `expose`."""
        for mount in mounts:
            self._count_mount(mount.target)

    def _count_mount(self, application: MountedApplication) -> None:
        counts = application.counts
        running = PassiveStatus(
            lambda: application.running, help=f"Requests of {counts.full_name} that run"
        )
        counts.times = times = MethodTimes(counts.full_name, {"_concurrency": running})
        self._times.append((counts, times))

    def expose(self, endpoint: Endpoint) -> None:
        """The server listens on `endpoint`."""
        run_guarded(self._expose, endpoint, what="exposing the variables of a server", log=LIBRARY)

    def _expose(self, endpoint: Endpoint) -> None:
        expose_process_variables(with_rates=True)
        expose_socket_variables()
        expose_rpcz_variables()
        expose_library_variables()
        expose_once(
            "rpc_server_count", lambda: NumberOf(lambda: len(_exposed), help="Servers that run")
        )
        _exposed.add(self)
        name = self._name or (str(endpoint.port) if endpoint.has_port else endpoint.host)
        stem = expose_below_free_name(exposed_name(name, PREFIX), self._expose_own)
        self.stem = stem
        if stem:
            for entry, times in self._times:
                name = f"{stem}_{calls_name(entry.full_name)}"
                expose_below_free_name(name, times.variables.expose)

    def _expose_own(self, stem: str) -> None:
        try:
            for end, variable in self._variables.items():
                variable.expose(f"{stem}_{end}")
        except BaseException:
            self._hide_own()
            raise

    def _hide_own(self) -> None:
        for variable in self._variables.values():
            variable.hide()

    def close(self) -> None:
        """The server has stopped, or its start has failed."""
        run_guarded(self._close, what="hiding the variables of a server", log=LIBRARY)

    def _close(self) -> None:
        _exposed.discard(self)
        self._hide_own()
        for entry, times in self._times:
            if entry.times is times:
                entry.times = None
            times.close()

    def __repr__(self) -> str:
        name = self._variables["concurrency"].name.removesuffix("_concurrency")
        return f"<ServerVariables {name or 'hidden'}>"


class RunningCalls:
    """How many calls of each method run. Counted when asked: a call pays nothing for it."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._latest: tuple[float, Counter[Any]] = 0.0, Counter()

    def of(self, entry: MethodEntry) -> int:
        """The calls of one method that run. Any thread."""
        running = self._admission.running
        now = time.monotonic()
        counted_at, counts = self._latest
        if len(running) <= MAX_COUNTED or now - counted_at > CACHED_S:
            counts = Counter(call.entry for call in list(running))
            self._latest = now, counts
        return counts[entry]


def _after_fork_in_child() -> None:
    for variables in list(_exposed):
        variables.close()


# After `renew_in_child` has made the locks of all variables free, and emptied them.
os.register_at_fork(after_in_child=_after_fork_in_child)
