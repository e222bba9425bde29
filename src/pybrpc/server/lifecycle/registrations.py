"""Registrations: the entries of one server in naming services, over all of its runs.

An entry exists while the server serves: `open` makes the entries of a run, `leave` removes them.
Neither waits for a naming service: each entry has a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pybrpc.base.checked_options import checked_text
from pybrpc.base.deadline import deadline_after
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import SERVER, run_guarded
from pybrpc.base.renewed import renew_in_child
from pybrpc.base.wake_list import StopLatch
from pybrpc.builtin.server_view import RegistrationView
from pybrpc.errors import AddressError, ServerStateError
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.registration.reachable import (
    is_wildcard,
    node_with_any_port,
    reachable_node,
)
from pybrpc.naming.registration.registration import (
    Registration,
    RegistrationState,
    check_registrable,
    new_registration,
)
from pybrpc.naming.server_node import ServerNode

_NOT_REGISTERED = RegistrationState()


class ServerRegistration:
    """The entry of a server in one naming service: there from each start of the server to its stop.

    `Server.register` and `Supervisor.register` make it. All methods may be called in any thread.
    """

    def __init__(
        self, owner: Registrations, url: NamingUrl, node: ServerNode | None, tag: str
    ) -> None:
        self.url = url
        self._owner = owner
        self._given = node
        self._tag = tag
        self._entry: Registration | None = None
        """That of the present run, or of the last one."""
        self._begun = StopLatch()

    @property
    def node(self) -> ServerNode | None:
        """The address that clients get, and the tag; `None` before the server has listened."""
        entry = self._entry
        return None if entry is None else entry.node

    @property
    def state(self) -> RegistrationState:
        """How it goes: `is_registered`, `renewed_s`, `error`, `error_s`, `failures`."""
        entry = self._entry
        return _NOT_REGISTERED if entry is None else entry.state

    def wait_registered(self, timeout_s: float) -> bool:
        """Block until the naming service has the entry; False if it has not after `timeout_s`, or
        if the server stops.

        It also waits while the server was not started. In an asyncio loop:
        `await asyncio.to_thread(registration.wait_registered, 5)`.
        """
        deadline = deadline_after(timeout_s)
        if not self._begun.wait(deadline):
            return False
        entry = self._entry
        return entry is not None and entry.wait_registered(max(0.0, deadline - time.monotonic()))

    def deregister(self, timeout_s: float = 5.0) -> bool:
        """Remove the entry for good, also for later starts of the server, which goes on.

        Wait at most `timeout_s` seconds for that, 0: don't wait. True if it is removed. Idempotent.
        """
        entry = self._owner._remove(self)
        return entry is None or entry.deregister(timeout_s)

    def _node_at(self, where: Endpoint) -> ServerNode:
        """The server that listens at `where`. AddressError if clients can't reach it there."""
        given = self._given
        if given is not None:
            port = given.endpoint.port or where.port
            return reachable_node(ServerNode(Endpoint(given.endpoint.host, port), given.tag))
        if is_wildcard(where):
            raise AddressError(
                f"{where.host} means all addresses of this host: name the one by which clients "
                f'reach the server, register({str(self.url)!r}, "10.0.0.1:0"), in which port 0 is '
                "the port of the server"
            )
        return reachable_node(ServerNode(where, self._tag))

    def _is_like(self, other: ServerRegistration) -> bool:
        return (self.url, self._given) == (other.url, other._given)

    def _view(self) -> RegistrationView:
        state = self.state
        return RegistrationView(
            str(self.url),
            "" if self.node is None else str(self.node),
            state.is_registered,
            "" if state.error is None else str(state.error),
            state.failures,
        )

    def __repr__(self) -> str:
        return f"<ServerRegistration {self._view()}>"


class Registrations:
    """The registrations of one server. Any thread; no method waits for a naming service."""

    def __init__(self) -> None:
        # A signal handler may come in while its own thread holds the lock.
        self._lock = threading.RLock()
        self._all: tuple[ServerRegistration, ...] = ()
        self._where: Endpoint | None = None
        """Where the server serves; `None`: it does not, or its stop has begun."""
        self._refusal = ""
        renew_in_child(self)

    def __len__(self) -> int:
        return len(self._all)

    def add(
        self, where: str | NamingUrl, node: ServerNode | Endpoint | str | None, tag: str
    ) -> ServerRegistration:
        """See `Registering.register`."""
        if self._refusal:
            raise ServerStateError(self._refusal)
        url = NamingUrl.parse(where)
        check_registrable(url)
        added = ServerRegistration(self, url, given_node(node, checked_text("tag", tag)), tag)
        with self._lock:
            if any(added._is_like(each) for each in self._all):
                raise ServerStateError(f"the server is registered at {url} already")
            self._all = (*self._all, added)
            serves = self._where
        if serves is not None:
            try:
                self._begin(added, serves)
            except BaseException:
                self._remove(added)
                raise
        return added

    def check_where(self, where: Endpoint) -> None:
        """The server is to listen at `where`: AddressError if clients can't reach it there."""
        if where.has_port and not where.port:
            where = Endpoint(where.host, 1)  # stands for the port that the system will choose
        for each in self._all:
            each._node_at(where)

    def open(self, where: Endpoint) -> None:
        """The server serves at `where`: make all entries. If this raises, none is left.

        AddressError if clients can't reach it there; RuntimeError if no thread can be started.
        """
        with self._lock:
            self._where = where
            found = self._all
        try:
            for each in found:
                self._begin(each, where)
        except BaseException:
            self.leave(_do_nothing)
            raise

    def leave(self, on_left: Callable[[], None]) -> None:
        """Begin to remove all entries, and make no others until `open`. Takes no lock.

        Each time that one is removed, or given up, `on_left` is called, in any thread: `late` has
        the others.
        """
        self._where = None
        found = self._all
        for entry in _entries_of(found):
            run_guarded(entry.deregister, 0.0, what=f"deregistering at {entry.url}", log=SERVER)
            entry.left.notify(on_left)
        for each in found:
            if each._begun.is_set:
                each._begun = StopLatch()

    def late(self) -> list[Registration]:
        """The entries for which something is still done."""
        return [entry for entry in _entries_of(self._all) if not entry.left.is_set]

    def forbid(self, reason: str) -> None:
        """Add no more. ServerStateError if there are some already."""
        self._refusal = reason
        if self._all:
            raise ServerStateError(reason)

    def views(self) -> list[RegistrationView]:
        """For pages."""
        return [each._view() for each in self._all]

    def description(self) -> str:
        """ ", registered at etcd://..." for people; "" if there are none."""
        return "".join(f", {view}" for view in self.views())

    def renew_locks(self) -> None:
        """In a forked child. The entries are those of the parent, which serves on."""
        self._lock = threading.RLock()
        self._where = None
        for each in self._all:
            each._entry, each._begun = None, StopLatch()

    def _begin(self, registration: ServerRegistration, where: Endpoint) -> None:
        """Make an entry, unless the server stops meanwhile."""
        entry = new_registration(registration.url, registration._node_at(where))
        with self._lock:
            before = registration._entry
            is_wanted = self._where is where and registration in self._all
            if not is_wanted or (before is not None and not before.is_ending):
                return
            registration._entry = entry
            if before is None or before.left.is_set:
                entry.start()
            else:
                # Its removal could remove the new one.
                before.left.notify(entry.start)
            registration._begun.set()
        # Store, then load: `leave` may have come before the entry was there.
        if self._where is not where:
            entry.deregister(0.0)

    def _remove(self, registration: ServerRegistration) -> Registration | None:
        with self._lock:
            self._all = tuple(each for each in self._all if each is not registration)
            registration._begun.set()
            return registration._entry


def given_node(node: ServerNode | Endpoint | str | None, tag: str) -> ServerNode | None:
    """The address that was given, and its tag; `None` for that where the server listens."""
    if node is None:
        return None
    found = node_with_any_port(node)
    if not tag:
        return found
    if found.tag:
        raise ValueError(f"two tags for {found.endpoint}: {found.tag!r} and tag={tag!r}")
    return ServerNode(found.endpoint, tag)


def _entries_of(registrations: tuple[ServerRegistration, ...]) -> list[Registration]:
    found = (each._entry for each in registrations)
    return [entry for entry in found if entry is not None]


def _do_nothing() -> None:
    """Nobody waits for the end of the entries."""
