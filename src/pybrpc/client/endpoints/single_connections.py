"""SingleConnections: all calls share one connection, or a fixed number of them in turn."""

from __future__ import annotations

import itertools
import math

from pybrpc.client.calls.call import Call
from pybrpc.client.connections.connection import ClientConnection
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.transport.socket_map import ConnectionSlot


class SingleConnections(SourceBase):
    """bRPC's connection type "single", with `settings.connections` parallel ones to the peer."""

    __slots__ = ("_first", "_next", "_places")

    def __init__(self, maker: ConnectionFactory, settings: SourceSettings | None = None) -> None:
        settings = settings or SourceSettings()
        super().__init__(maker, settings)
        self._places = [
            ConnectionSlot(self, lambda: self.make_for(self)) for _ in range(settings.connections)
        ]
        self._first = self._places[0] if settings.connections == 1 else None
        self._next = itertools.count()

    @property
    def connections(self) -> list[ClientConnection]:
        """The last one of each place, dead or alive, and those that go when their calls end."""
        current = [place.current for place in self._places if place.current is not None]
        return list(dict.fromkeys(current) | self._connections)

    def get(self, call: Call) -> ClientConnection | None:
        connection = (self._first or self._place_for(call)).current
        if connection is not None and connection.is_usable:
            if self._first is not None:
                # As long as it is usable nothing else can be in the only place.
                self.live = connection
            return connection
        if self._dialer.health.is_down:
            return self._take_live(call) or self._get_fresh(call)
        return self._get_fresh(call)

    def connection_for_backup(self, used: ClientConnection) -> ClientConnection | None:
        for place in self._places:
            connection = _live(place)
            if connection is None and not self._dialer.health.is_down:
                connection = place.get()
            if connection is not None and connection is not used:
                return connection
        return used if used.is_usable else None

    def retire(self, connection: ClientConnection) -> None:
        connection.is_logged_off = True

    def _take_live(self, call: Call | None) -> ClientConnection | None:
        for _ in self._places:
            connection = _live(self._place_in_turn())
            if connection is not None:
                return connection
        return None

    def _can_serve(self) -> bool:
        return True

    def _make_if_allowed(self, call: Call | None) -> ClientConnection | None:
        for place in self._places:
            if _live(place) is None:
                return place.get()
        return self._place_in_turn().get()

    def _keep(self, connection: ClientConnection) -> bool:
        return any(place.offer(connection) for place in self._places)

    def _place_for(self, call: Call) -> ConnectionSlot[ClientConnection]:
        """What broke under one call may have broken under all: a retry takes the newest one."""
        return max(self._places, key=_newness) if call.retried_count else self._place_in_turn()

    def _place_in_turn(self) -> ConnectionSlot[ClientConnection]:
        return self._places[next(self._next) % len(self._places)]


def _newness(place: ConnectionSlot[ClientConnection]) -> float:
    connection = _live(place)
    return math.inf if connection is None else connection.socket.id


def _live(place: ConnectionSlot[ClientConnection]) -> ClientConnection | None:
    connection = place.current
    return connection if connection is not None and connection.is_usable else None
