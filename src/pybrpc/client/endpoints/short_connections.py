"""ShortConnections: a connection for each attempt of a call, closed after its response."""

from __future__ import annotations

from pybrpc.client.calls.interfaces import WaitingCall
from pybrpc.client.connections.connection import ClientConnection
from pybrpc.client.endpoints.source_base import SourceBase


class ShortConnections(SourceBase):
    """bRPC's connection type "short"."""

    __slots__ = ()

    wants_idle_events = True

    def on_idle(self, connection: ClientConnection, is_clean: bool) -> None:
        connection.close()

    def retire(self, connection: ClientConnection) -> None:
        connection.retire()

    def _take_live(self, call: WaitingCall | None) -> ClientConnection | None:
        return None

    def _can_serve(self) -> bool:
        return True

    def _make_if_allowed(self, call: WaitingCall | None) -> ClientConnection | None:
        return self.make_for(self, call)

    def _keep(self, connection: ClientConnection) -> bool:
        return False
