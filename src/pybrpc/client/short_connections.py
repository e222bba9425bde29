"""ShortConnections: a connection for each attempt of a call, closed after its answer."""

from __future__ import annotations

from pybrpc.client.call import Call
from pybrpc.client.connection import ClientConnection
from pybrpc.client.shared_source import SharedSource


class ShortConnections(SharedSource):
    """bRPC's connection type "short"."""

    __slots__ = ()

    hears_of_free = True

    def on_free(self, connection: ClientConnection, is_clean: bool) -> None:
        connection.close()

    def retire(self, connection: ClientConnection) -> None:
        connection.log_off()

    def _take_live(self, call: Call | None) -> ClientConnection | None:
        return None

    def _can_serve(self) -> bool:
        return True

    def _make_if_allowed(self, call: Call | None) -> ClientConnection | None:
        return self.make_for(self, call)

    def _keep(self, connection: ClientConnection) -> bool:
        return False
