"""PageServer: the port of a supervisor on which its pages are, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pybrpc.base.endpoint import Endpoint
from pybrpc.builtin.server_view import RegistrationView
from pybrpc.errors import ListenError
from pybrpc.server.http.frontend import HttpFrontend
from pybrpc.server.http_safety import AllowedHosts
from pybrpc.server.lifecycle.registrations import Registrations
from pybrpc.server.lifecycle.running_server import RunningServer
from pybrpc.server.pages_view import PagesView
from pybrpc.server.routing.routes import Routes
from pybrpc.server.server import Server
from pybrpc.server.workers.pages.gathered import GatheredPages, Workers
from pybrpc.transport.runtime import Runtime

MAX_CONNECTIONS = 256
IDLE_S = 120.0
_CLOSE_S = 2.0


class HostsOfWorkers(AllowedHosts):
    """All hosts; those that the servers of workers name are theirs."""

    def __init__(self, named: Callable[[], Iterable[str]]) -> None:
        """`named` is called in turns."""
        super().__init__()
        self._named = named

    def names(self, host_and_port: str) -> bool:
        named = tuple(self._named())
        return bool(named) and AllowedHosts(named).names(host_and_port)


class PageServer(Server):
    """A server without services, whose pages all clients may use that say an address, "localhost"
    or the name of this machine as the Host, see `has_own_host`, or one of the `allowed_hosts` of
    the workers. It has a dispatcher of its own, so that clients of pages delay no worker's start or
    end."""

    def __init__(
        self,
        workers: Workers,
        where: Endpoint,
        is_stopping: Callable[[], bool],
        registrations: Registrations | None = None,
    ) -> None:
        """`where`: the address of the workers. `registrations`: those of the supervisor."""
        self._runtime = Runtime()
        super().__init__(
            enabled_protocols=["http"],
            builtin_allow=["0.0.0.0/0", "::/0"],
            max_connections=MAX_CONNECTIONS,
            idle_timeout=IDLE_S,
            server_info_name="supervisor",
            runtime=self._runtime,
        )
        self._pages = GatheredPages(workers).entries()
        self._routes = Routes(self._pages)
        self._where = where
        self._is_group_stopping = is_stopping
        self._slots = workers.slots
        self._shown_registrations = registrations or self._registrations
        self._hosts = HostsOfWorkers(workers.allowed_hosts)

    def listen(self, port: int) -> Endpoint:
        """Listen on the host of the workers; 0: a free port. ListenError; then nothing is left."""
        try:
            if self._where.is_unix:
                raise ListenError("internal_port needs workers on a TCP port, not a Unix socket")
            return self.start(Endpoint(self._where.host, port))
        except BaseException:
            self._runtime.close()
            raise

    def close(self) -> None:
        """Close the port and its connections. Blocks shortly. May be called again."""
        self.stop(0.0)
        self.join(_CLOSE_S)
        self._runtime.close()

    def _frontend_maker(self) -> Callable[[RunningServer], HttpFrontend]:
        return self._new_frontend

    def _new_frontend(self, run: RunningServer) -> HttpFrontend:
        view = SupervisorView(
            run,
            str(self._where),
            self._slots,
            self._is_group_stopping,
            self._shown_registrations,
        )
        settings = self._settings.http._replace(hosts=self._hosts)
        return HttpFrontend(view, self._routes, settings, pages=self._pages)


class SupervisorView(PagesView):
    """The supervisor, as its pages see it."""

    def __init__(
        self,
        run: RunningServer,
        address: str,
        slots: int,
        is_stopping: Callable[[], bool],
        registrations: Registrations,
    ) -> None:
        super().__init__(run, worker_name=f"all of {slots} workers")
        self._address = address
        self._is_group_stopping = is_stopping
        self._registrations = registrations

    @property
    def is_stopping(self) -> bool:
        """Whether the workers stop."""
        return self._is_group_stopping()

    def registrations(self) -> list[RegistrationView]:
        """Those of the supervisor."""
        return self._registrations.views()
