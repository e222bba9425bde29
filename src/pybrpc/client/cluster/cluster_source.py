"""ClusterSource: where the calls of a channel to a cluster get their connections.

It joins the Router, which picks a server for each attempt, with the sources of the connections to
the servers, which channels share, and with the naming service. Calls that find no server wait here,
oldest first, until one has room.

The list of servers is made in the thread of the naming service; all other changes happen in turns
of one dispatcher. A thread that queues a call looks afterwards for a server, and what makes one
usable looks afterwards for a waiting call: store, then load, on both sides (`base.atomic`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import CLIENT, run_guarded, safe_str
from pybrpc.client.calls.attempt import AttemptConnection
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.calls.call_times import CallTimes
from pybrpc.client.calls.interfaces import BackedUpCall, WaitingCall
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.user_balancer import NoBalancer
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.finding import Finder
from pybrpc.client.cluster.pick import Pick
from pybrpc.client.cluster.router import Router, RouterSettings
from pybrpc.client.cluster.server_connections import AcquireSource, ServerConnections
from pybrpc.client.cluster.server_node import ServerNode
from pybrpc.client.cluster.server_status import ServerStatus, status_of
from pybrpc.client.cluster.turns import DispatcherTurns, Polled
from pybrpc.client.connections.connection import ClientConnection
from pybrpc.client.endpoints.settings import EndpointStatistics
from pybrpc.client.endpoints.wait_queue import Waiting
from pybrpc.client.endpoints.waiting_calls import WaitingCalls
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.rpc.timeout_queue import TimeoutQueues

_CANCELED = int(ErrorCode.ECANCELED)


class Watch(Protocol):
    """A watch on a naming service."""

    def close(self) -> None:
        """End it. Any thread; never blocks."""


class NodesListener(Protocol):
    """Gets the lists of a naming service, in a thread of that."""

    def on_servers(self, nodes: tuple[ServerNode, ...]) -> None:
        """The whole list, whenever it changes."""

    def on_naming_error(self, error: BaseException) -> None:
        """The list could not be read; the last one stays."""


StartWatch = Callable[[NodesListener], Watch]
"""Begins to watch the naming service of a channel."""


ReadyListener = Callable[[], object]
"""Called when a server is usable."""


class ClusterSettings:
    """How a cluster is used by one channel.

    name      of the cluster, for texts
    protocol  the name of the protocol, for metrics
    wanted    which servers of the naming service are used, for texts; "": all
    """

    __slots__ = (
        "acquire",
        "make_balancer",
        "name",
        "protocol",
        "router",
        "start_watch",
        "wanted",
    )

    def __init__(
        self,
        name: str,
        protocol: str,
        start_watch: StartWatch,
        make_balancer: Callable[[], LoadBalancer],
        router: RouterSettings,
        acquire: AcquireSource,
        wanted: str = "",
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.start_watch = start_watch
        self.make_balancer = make_balancer
        self.router = router
        self.acquire = acquire
        self.wanted = wanted


class ClusterSource(WaitingCalls):
    """A ConnectionSource of many servers, of one channel in one loop or in threads."""

    __slots__ = (
        "__weakref__",
        "_connections",
        "_finder",
        "_maker",
        "_naming_error",
        "_naming_lock",
        "_nodes",
        "_ready",
        "_settings",
        "_turns",
        "_watch",
        "_watch_lock",
        "call_times",
        "get",
        "router",
    )

    endpoint = None
    live = None
    pool = None
    gives_own_connections = True
    """That depends on the connection type, which the sources of its servers know."""

    def __init__(self, settings: ClusterSettings, maker: Polled) -> None:
        """`maker` has the dispatcher, after a fork another one."""
        super().__init__()
        self._settings = settings
        self._maker = maker
        self._turns = DispatcherTurns(self)
        self._naming_lock = threading.Lock()
        self._naming_error = ""
        self._watch_lock = threading.Lock()
        self._watch: Watch | None = None
        self._nodes: tuple[ServerNode, ...] | None = None
        self.call_times = CallTimes(settings.name, settings.protocol)
        self._begin(settings.make_balancer())

    def _begin(self, balancer: LoadBalancer) -> None:
        settings = self._settings
        self.timeouts = TimeoutQueues(None, self._maker)
        self.forget_waiting()
        self._ready: dict[ReadyListener, None] = {}
        self._connections = ServerConnections(settings.acquire, self)
        self.router = Router(
            settings.name,
            balancer,
            settings.router,
            self._turns,
            on_usable=self._on_usable,
            on_none_usable=self._on_none_usable,
            on_unused=self._connections.release,
        )
        self._finder = Finder(
            self.router,
            self._connections,
            self._waiting.entries,
            balancer.needs_hash_key,
            self._check_hope,
        )
        self.get: Callable[[WaitingCall], ClientConnection | None] = self._finder.get

    def on_acquired(self) -> None:
        self.call_times.open()
        with self._watch_lock:
            if self._watch is None:
                self._watch = self._settings.start_watch(self)

    @property
    def name(self) -> str:
        return self._settings.name

    def endpoints(self) -> Sequence[Endpoint]:
        return [server.node.endpoint for server in self.router.servers if server.is_usable]

    @property
    def why_down(self) -> RpcError | None:
        return None if self.router.has_usable() else self._no_server_error()

    @property
    def connections(self) -> list[ClientConnection]:
        """Those to all servers."""
        return [each for source in self._connections.sources() for each in source.connections]

    def statistics(self) -> EndpointStatistics:
        """The sums over all servers. Any thread; the counts are not one snapshot."""
        all_of = [source.statistics() for source in self._connections.sources()]
        return EndpointStatistics(
            created=sum(each.created for each in all_of),
            closed=sum(each.closed for each in all_of),
            in_use=sum(each.in_use for each in all_of),
            idle=sum(each.idle for each in all_of),
            waiting=len(self._waiting) + sum(each.waiting for each in all_of),
            is_down=not self.router.has_usable(),
        )

    def servers(self) -> list[ServerStatus]:
        """The state of each server. Any thread."""
        now = time.monotonic()
        return [status_of(server, now) for server in self.router.servers]

    def add_ready_listener(self, listener: ReadyListener) -> None:
        """Call `listener` once a server is usable, perhaps now, or never if the source is closed
        before; in a turn, or in this thread. It must not block."""
        self._ready[listener] = None
        if self.router.has_usable():
            self._report_ready()

    def remove_ready_listener(self, listener: ReadyListener) -> None:
        self._ready.pop(listener, None)

    def _report_ready(self) -> None:
        for listener in list(self._ready):
            if self._ready.pop(listener, listener) is None:
                run_guarded(listener, what="a listener to a cluster that is ready", log=CLIENT)

    # --- as a NodesListener ---

    def on_servers(self, nodes: tuple[ServerNode, ...]) -> None:
        with self._naming_lock:
            self._nodes = nodes
            self._naming_error = ""
            try:
                self.router.set_nodes(nodes)
            except BaseException as error:
                self._note_unused_list(error)
                self._turns.post(self._on_none_usable)
                return
            if not self.is_used:
                self._connections.release_all()
        self._turns.post(self._on_list)

    def _note_unused_list(self, error: BaseException) -> None:
        self._naming_error = _text_of(error)
        CLIENT.caught("%s: a list is not used", self.name, error=error)

    def on_naming_error(self, error: BaseException) -> None:
        self._naming_error = _text_of(error)
        self._turns.post(self._on_none_usable)

    def _on_list(self) -> None:
        """There is a new list. In a turn."""
        if not self.is_used:
            self.router.close()
            return
        if self.router.has_usable():
            self._on_usable()
        else:
            self._on_none_usable()

    # --- as a ServerListener ---

    def on_server_changed(self, server: ClusterServer) -> None:
        if server.source is None:  # It is just being connected, and is looked at after that.
            return
        if (server.source.why_down is not None) is not server.health.is_down:
            self._turns.post(partial(self._note_reachable, server))
        elif self._waiting:
            self._serve_soon()

    def _note_reachable(self, server: ClusterServer) -> None:
        """In a turn."""
        cause = server.source.why_down
        if cause is not None:
            self.router.states.set_down(server, cause.message)
            self._on_none_usable()
            if self._waiting:  # A call may have asked this server, which was known to be down.
                self._serve_soon()
        else:
            self.router.states.set_reachable(server)

    # --- for calls ---

    def _check_hope(self, call: WaitingCall) -> None:
        """A call has found no connection: raise its error if it shall not wait."""
        is_usable = self.router.states.usable > 0
        if not call.options.wait_for_ready and (not is_usable or self._is_hopeless()):
            self._raise_if_hopeless(call)

    def wait(self, call: WaitingCall) -> None:
        self._waiting.add(call)
        if not self.is_used:
            self._refuse_waiting(self._closed_error())
        elif self.router.has_usable() or not call.options.wait_for_ready:
            self._serve_soon()

    def reclaim(self, call: WaitingCall) -> None:
        pick: Pick | None = call.pick
        if pick is not None:
            pick.end(_CANCELED, CanceledBy.CALLER)
            if pick.server.source is not None:
                pick.server.source.reclaim(call)

    def connection_for_backup(
        self, call: BackedUpCall, used: AttemptConnection
    ) -> ClientConnection | None:
        first: Pick | None = call.pick
        if first is None or self._waiting:
            return None
        pick = self.router.pick(first.tried_so_far, call.get_hash_key(), first.limit_s)
        if pick is None:
            return None
        connection = None
        try:
            if pick.server not in pick.tried:
                connection = self._connection_now(pick.server)
        finally:
            if connection is None:
                pick.end(_CANCELED, CanceledBy.CALLER)
            else:
                first.backup_pick = pick
        return connection

    def _connection_now(self, server: ClusterServer) -> ClientConnection | None:
        source = server.source
        if source is None:
            try:
                source = self._connections.connect(server)
            except RpcError as error:
                CLIENT.debug("no backup request: %s", error)
                return None
        connection: ClientConnection | None = source.get_now(None)
        return connection

    def may_retry_elsewhere(self, call: BackedUpCall, error: RpcError) -> bool:
        pick: Pick | None = call.pick
        tried = () if pick is None else pick.tried_so_far
        return self.router.may_retry_elsewhere(error.code, tried)

    def take_retry(self, error: RpcError) -> bool:
        return self.router.take_retry(error)

    # --- calls that wait ---

    def _on_usable(self) -> None:
        """One more server may have calls. In a turn."""
        if self._ready and self.router.has_usable():
            self._report_ready()
        if self._waiting:
            self._serve_soon()

    def _on_none_usable(self) -> None:
        """In a turn."""
        if self._waiting and not self.router.has_usable():
            self._refuse_impatient()

    def _serve_all(self) -> None:
        if not self.router.has_usable():
            self._refuse_impatient()
            return
        left = MAX_PER_STEP
        while self._waiting:
            oldest = self._waiting.oldest()
            if oldest is None or not self._serve_one(oldest):
                return
            left -= 1
            if not left:
                self._serve_soon()
                return

    def _serve_one(self, waiting: Waiting) -> bool:
        """False if there is no room for this call."""
        call = waiting.call
        before = call.pick
        try:
            connection = self._finder.find(call)
        except RpcError as error:
            if waiting.try_claim():
                call.on_no_connection(error)
            return True
        if connection is None:
            return False
        if waiting.try_claim():
            call.on_connection(connection)
        else:
            pick, call.pick = call.pick, before
            pick.end(_CANCELED, CanceledBy.CALLER)
            connection.release()
        return True

    def _raise_if_hopeless(self, call: WaitingCall) -> None:
        """Raise the error for a call that does not wait for a server, unless the first list has not
        come yet."""
        pick = self.router.pick(
            (), call.get_hash_key(), math.inf
        )  # A balancer may have its own error.
        if pick is not None:
            pick.end(_CANCELED, CanceledBy.CALLER)
        error = self._why_hopeless()
        try:
            if error is not None:
                raise error
        finally:
            # The error refers to this frame.
            del error

    def _is_hopeless(self) -> bool:
        return not self.router.has_usable() and (
            self.router.picker is not None or bool(self._naming_error)
        )

    def _why_hopeless(self) -> RpcError | None:
        return self._no_server_error() if self._is_hopeless() else None

    def _no_server_error(self) -> RpcError:
        return self.router.no_server_error(self._naming_error, self._settings.wanted)

    # --- the end ---

    def close(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        try:
            self._end_waiting()
        finally:
            self._connections.release_all()
            self.call_times.close()
            self._turns.post(self._on_closed)

    def _on_closed(self) -> None:
        if not self.is_used:
            self.router.close()

    def is_lost(self) -> bool:
        loop = self._maker.loop
        return loop is not None and loop.is_closed()

    def after_fork(self) -> None:
        """Forget the servers, whose figures are of the parent's calls, and make them anew."""
        old = self._connections
        self._naming_lock = threading.Lock()
        self._watch_lock = threading.Lock()
        self.call_times = CallTimes(self._settings.name, self._settings.protocol)
        if self.is_used:
            self.call_times.open()
        self._begin(self._balancer_in_child())
        try:
            if self._nodes is not None:
                self.router.set_nodes(self._nodes, is_in_turn=True)
        except BaseException as error:
            self._note_unused_list(error)
        finally:
            old.release_all()

    def _balancer_in_child(self) -> LoadBalancer:
        try:
            return self._settings.make_balancer()
        except BaseException as error:
            CLIENT.caught("%s: no load balancer in a forked child", self.name, error=error)
            return NoBalancer(error)

    def __repr__(self) -> str:
        waiting = f", {len(self._waiting)} calls wait" if self._waiting else ""
        return f"<ClusterSource {self.router!r}{waiting}>"


def _text_of(error: BaseException) -> str:
    return safe_str(error) or type(error).__name__
