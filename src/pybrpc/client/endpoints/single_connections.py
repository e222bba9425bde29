"""SingleConnections: all calls share one connection, or a fixed number of them in turn."""

from __future__ import annotations

import itertools
import math

from pybrpc.client.calls.attempt import AttemptConnection
from pybrpc.client.calls.interfaces import BackedUpCall, WaitingCall
from pybrpc.client.connections.connection import ClientConnection
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.transport.socket_map import ConnectionSlot


class SingleConnections(SourceBase):
    """bRPC's connection type "single", with `settings.connections` parallel ones to the peer."""

    __slots__ = ("_first", "_next", "_slots")

    def __init__(self, factory: ConnectionFactory, settings: SourceSettings | None = None) -> None:
        settings = settings or SourceSettings()
        super().__init__(factory, settings)
        self._slots = [
            ConnectionSlot(self, lambda: self.make_for(self)) for _ in range(settings.connections)
        ]
        self._first = self._slots[0] if settings.connections == 1 else None
        self._next = itertools.count()

    @property
    def connections(self) -> list[ClientConnection]:
        """The last connection of each slot, even if broken, and retired ones with calls."""
        current = [slot.current for slot in self._slots if slot.current is not None]
        return list(dict.fromkeys(current) | self._connections)

    def get(self, call: WaitingCall) -> ClientConnection | None:
        connection = (self._first or self._slot_for(call)).current
        if connection is not None and connection.is_usable():
            if self._first is not None:
                # As long as it is usable nothing else can be in the only slot.
                self.live = connection
            return connection
        if self._reconnector.health.is_down:
            return self._take_live(call) or self._get_fresh(call)
        return self._get_fresh(call)

    def get_now(self, call: WaitingCall | None) -> ClientConnection | None:
        first = self._first
        if first is not None:
            connection = first.current
            if connection is not None and connection.is_usable():
                self.live = connection
                return connection
        return super().get_now(call)

    def connection_for_backup(
        self, call: BackedUpCall, used: AttemptConnection
    ) -> AttemptConnection | None:
        for slot in self._slots:
            connection = _live(slot)
            if connection is None and not self._reconnector.health.is_down:
                connection = slot.get()
            if connection is not None and connection is not used:
                return connection
        return used if used.is_usable() else None

    def retire(self, connection: ClientConnection) -> None:
        connection.is_retired = True

    def _take_live(self, call: WaitingCall | None) -> ClientConnection | None:
        for _ in self._slots:
            connection = _live(self._slot_in_turn())
            if connection is not None:
                return connection
        return None

    def _can_serve(self) -> bool:
        return True

    def _make_if_allowed(self, call: WaitingCall | None) -> ClientConnection | None:
        for slot in self._slots:
            if _live(slot) is None:
                return slot.get()
        return self._slot_in_turn().get()

    def _keep(self, connection: ClientConnection) -> bool:
        return any(slot.offer(connection) for slot in self._slots)

    def _slot_for(self, call: WaitingCall) -> ConnectionSlot[ClientConnection]:
        """A retry takes the newest connection: the others may have broken like the first one."""
        return max(self._slots, key=_newness) if call.retried_count else self._slot_in_turn()

    def _slot_in_turn(self) -> ConnectionSlot[ClientConnection]:
        return self._slots[next(self._next) % len(self._slots)]


def _newness(slot: ConnectionSlot[ClientConnection]) -> float:
    connection = _live(slot)
    return math.inf if connection is None else connection.socket.id


def _live(slot: ConnectionSlot[ClientConnection]) -> ClientConnection | None:
    connection = slot.current
    return connection if connection is not None and connection.is_usable() else None
