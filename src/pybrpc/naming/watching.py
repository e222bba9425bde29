"""watch: get the list of a naming service, and its changes."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterable

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import NAMING, run_guarded
from pybrpc.errors import AddressError, NamingError
from pybrpc.naming.interfaces import NamingService, NamingWatcher
from pybrpc.naming.list_keeper import NamingState
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.schemes import make_service
from pybrpc.naming.server_lists import checked_servers
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.shared_naming import SharedNaming

ServerFilter = Callable[[ServerNode], object]


class Watch:
    """One watcher of a naming service, until `close`.

    It is kept alive by the naming service, and keeps the watcher alive, until it is closed.
    """

    def __init__(
        self,
        watcher: NamingWatcher,
        server_filter: ServerFilter | None,
        source: SharedNaming | NamingState,
    ) -> None:
        self._watcher = watcher
        self._filter = server_filter
        self._source = source
        self._delivering = threading.Lock()
        self._delivered = NamingState()
        self._is_closed = False

    @property
    def state(self) -> NamingState:
        """The last list, without the filter, the last error, and their times. Any thread."""
        source = self._source
        return source if isinstance(source, NamingState) else source.state

    def close(self) -> None:
        """Call the watcher no more, but for a call that runs just now. Any thread, also in
        destructors and signal handlers. Never blocks. Idempotent.

        The last watch of a URL ends its thread, which may take as long as a request takes.
        """
        self._is_closed = True
        if isinstance(self._source, SharedNaming):
            self._source.leave(self)

    def deliver(self) -> None:
        """Give the watcher what it has not got yet. The thread that delivers already does that
        for all others; so the watcher gets one call at a time, and in the end the latest list."""
        while self.state is not self._delivered and not self._is_closed:
            if not self._delivering.acquire(blocking=False):
                return
            try:
                before, self._delivered = self._delivered, self.state
                self._notify(before, self._delivered)
            finally:
                self._delivering.release()

    def _notify(self, before: NamingState, state: NamingState) -> None:
        what = type(self._watcher).__name__
        if state.servers is not None and state.servers is not before.servers:
            run_guarded(
                self._watcher.on_servers,
                self._accepted(state.servers),
                what=f"on_servers of {what}",
                log=NAMING,
            )
        if self._is_closed or state.error is None or state.error is before.error:
            return
        if state.is_failing:
            run_guarded(
                self._watcher.on_naming_error,
                state.error,
                what=f"on_naming_error of {what}",
                log=NAMING,
            )

    def renew_in_child(self) -> None:
        """In a forked child: what the watcher has got is not certain, so it gets it again."""
        self._delivering = threading.Lock()
        self._delivered = NamingState()

    def _accepted(self, servers: tuple[ServerNode, ...]) -> tuple[ServerNode, ...]:
        if self._filter is None:
            return servers
        return tuple(server for server in servers if self._accepts(self._filter, server))

    @staticmethod
    def _accepts(server_filter: ServerFilter, server: ServerNode) -> bool:
        try:
            return bool(server_filter(server))
        except BaseException as error:
            NAMING.caught("the server filter raised for %s", server, error=error)
            return False

    def __repr__(self) -> str:
        where = self._source.url if isinstance(self._source, SharedNaming) else "a fixed list"
        return f"<Watch of {where}{', closed' if self._is_closed else ''}>"


class _Registry:
    """The naming services that run: one for each URL."""

    def __init__(self) -> None:
        self.shared: dict[NamingUrl, SharedNaming] = {}
        # A signal handler or a destructor may come here again while it is held.
        self.lock = threading.RLock()

    def may_end(self, shared: SharedNaming) -> bool:
        """Forget a naming service, unless it is watched again."""
        with self.lock:
            if shared.watches:
                return False
            if self.shared.get(shared.url) is shared:
                del self.shared[shared.url]
            return True

    def renew_in_child(self) -> None:
        """In a forked child: start again what is watched."""
        self.lock = threading.RLock()
        for shared in list(self.shared.values()):
            if not shared.watches:
                del self.shared[shared.url]
                continue
            run_guarded(
                shared.renew_in_child, what=f"starting {shared.url} in a forked child", log=NAMING
            )


_registry = _Registry()


def watch(
    where: str | NamingUrl | Iterable[str | Endpoint | ServerNode],
    watcher: NamingWatcher,
    *,
    server_filter: ServerFilter | None = None,
) -> Watch:
    """Have `watcher` get the servers of a naming service, now and whenever they change.

    where           a URL such as "etcd://10.0.0.1:2379/services/echo", or a list of servers, which
                    never changes
    server_filter   a function that says of each ServerNode whether the watcher is to get it; one
                    for which it raises is left out

    Returns at once. The list is there already if the servers are in `where` itself, or if another
    watch has got them; then `on_servers` is called before this function returns.

    Raises AddressError if `where` is wrong, MissingExtraError if its scheme needs a package that
    is not installed. All that goes wrong later is given to `watcher.on_naming_error`.
    """
    if not isinstance(where, str | NamingUrl):
        return _watch_fixed(_listed(where), watcher, server_filter)
    url = NamingUrl.parse(where)
    with _registry.lock:
        shared = _registry.shared.get(url)
        added = None if shared is None else _join(shared, watcher, server_filter)
    if added is None:
        service = make_service(url)
        if service.is_static:
            return _watch_fixed(_listed(service.fetch() or ()), watcher, server_filter)
        added = _start(url, service, watcher, server_filter)
    try:
        added.deliver()
    except BaseException:  # a signal handler raised: nobody would close it
        added.close()
        raise
    return added


def _start(
    url: NamingUrl,
    service: NamingService,
    watcher: NamingWatcher,
    server_filter: ServerFilter | None,
) -> Watch:
    """Join what another thread has started meanwhile, or start it. The service that `watch` has
    made, to see whether the URL is right, is the first one that is used."""
    made = [service]
    fresh = SharedNaming(
        url,
        lambda: made.pop() if made else make_service(url),
        _registry.may_end,
    )
    with _registry.lock:
        shared = _registry.shared.setdefault(url, fresh)
        added = _join(shared, watcher, server_filter)
    if shared is not fresh:
        service.close()
    return added


def _join(
    shared: SharedNaming, watcher: NamingWatcher, server_filter: ServerFilter | None
) -> Watch:
    """Add a watch. With the lock of the registry held."""
    added = Watch(watcher, server_filter, shared)
    shared.watches[added] = True
    try:
        shared.ensure_thread()
    except BaseException:
        added.close()
        raise
    return added


def _listed(where: Iterable[object]) -> tuple[ServerNode, ...]:
    """The servers of a Python list. AddressError if one of them is none."""
    if isinstance(where, bytes) or not isinstance(where, Iterable):
        raise AddressError(f"servers are a URL or a list of addresses, not {where!r:.200}")
    try:
        return checked_servers(
            ServerNode(item) if isinstance(item, Endpoint) else item for item in where
        )
    except NamingError as error:
        raise AddressError(str(error)) from None


def _watch_fixed(
    servers: tuple[ServerNode, ...], watcher: NamingWatcher, server_filter: ServerFilter | None
) -> Watch:
    now_s = time.time()
    added = Watch(watcher, server_filter, NamingState(servers, now_s, now_s))
    added.deliver()
    return added


def watched() -> dict[str, NamingState]:
    """The URLs that are watched now, without their passwords, and what is known of each."""
    with _registry.lock:
        running = [shared for shared in _registry.shared.values() if shared.watches]
    return {str(shared.url): shared.state for shared in running}


os.register_at_fork(after_in_child=functools.partial(_Registry.renew_in_child, _registry))
