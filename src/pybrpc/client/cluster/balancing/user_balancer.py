"""UserBalancer: a balancer of the application, which may raise or return anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from pybrpc.base.checked_options import shown
from pybrpc.base.guard import (
    CLIENT,
    UserCodeError,
    deliver_interrupt,
    is_class_of_library,
    safe_repr,
)
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer, Outcome, Picker
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.errors import ErrorCode, RpcError


class UserBalancer:
    """The LoadBalancer that an application has registered under `name`."""

    def __init__(self, name: str, inner: LoadBalancer) -> None:
        self.name = name
        self.needs_hash_key = bool(getattr(inner, "needs_hash_key", False))
        self._inner = inner

    def new_picker(self, servers: Sequence[ClusterServer]) -> UserPicker:
        """See `LoadBalancer`. UserCodeError if that of the application raises."""
        try:
            return UserPicker(self.name, servers, self._inner.new_picker(tuple(servers)))
        except BaseException as error:
            deliver_interrupt(error)
            raise UserCodeError(error) from error


class NoBalancer:
    """In place of a balancer that could not be made: it makes no pickers either."""

    name = "none"
    needs_hash_key = False

    def __init__(self, error: BaseException) -> None:
        """`error`: why it could not be made."""
        self._error = error

    def new_picker(self, servers: Sequence[ClusterServer]) -> NoReturn:
        """UserCodeError."""
        raise UserCodeError(self._error) from self._error


def guarded_balancer(balancer: Any, name: str = "") -> LoadBalancer:
    """A UserBalancer of `balancer`, unless that is one of this library. TypeError if it is no
    balancer. `name`: by which it was registered."""
    if not callable(getattr(balancer, "new_picker", None)):
        raise TypeError(f"a load balancer has a method new_picker, which {shown(balancer)} has not")
    if is_class_of_library(type(balancer)):
        made: LoadBalancer = balancer
        return made
    return UserBalancer(name or str(getattr(balancer, "name", type(balancer).__name__)), balancer)


class UserPicker(BasePicker):
    """A Picker of the application. If its `pick` raises, or returns what is no server, the call
    fails with EINTERNAL. What its other methods raise is logged."""

    __slots__ = ("_inner", "_name", "_owner")

    def __init__(self, name: str, servers: Sequence[ClusterServer], inner: Picker) -> None:
        BasePicker.__init__(self, servers)
        self._name = name
        self._inner = inner
        self._owner = _owner_of(servers[0]) if servers else None

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        try:
            server = self._inner.pick(tried, hash_key, now)
        except BaseException as error:
            deliver_interrupt(error)
            self._fail(f"raised {safe_repr(error)}", error)
        if server is None:
            return None
        if not issubclass(type(server), ClusterServer):
            self._fail(f"returned {safe_repr(server)}, which is no server", None)
        if _owner_of(server) is not self._owner:
            # Its calls would change what that channel knows of it, in the wrong turn.
            self._fail(f"returned {server!r}, which is a server of another channel", None)
        return server

    def on_begin(self, server: ClusterServer, now: float) -> None:
        """See `Picker`."""
        try:
            self._inner.on_begin(server, now)
        except BaseException as error:
            CLIENT.caught("on_begin of the load balancer %s raised", self._name, error=error)

    def on_end(
        self, server: ClusterServer, begun_at: float, now: float, outcome: Outcome, limit_s: float
    ) -> None:
        """See `Picker`."""
        try:
            self._inner.on_end(server, begun_at, now, outcome, limit_s)
        except BaseException as error:
            CLIENT.caught("on_end of the load balancer %s raised", self._name, error=error)

    def _fail(self, what: str, error: BaseException | None) -> NoReturn:
        text = f"pick of the load balancer {self._name} {what}"
        raise RpcError(text, code=ErrorCode.EINTERNAL) from error


def _owner_of(server: ClusterServer) -> object:
    """An object that all servers of one channel share, those of its older lists too."""
    return None if server.health is None else server.health.owner
