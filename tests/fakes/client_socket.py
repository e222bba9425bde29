"""FakeSocket: what client connections and the socket table need of a Socket."""

from __future__ import annotations

import itertools
import types
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error

PEER = Endpoint("10.0.0.1", 8000)

_ids = itertools.count(1)


class FakeSocket:
    """A socket that connects, moves bytes and fails when the test says so."""

    remote_side = PEER
    local_side = None
    description = f"{PEER} (fake)"

    def __init__(self, *, is_connected: bool = False) -> None:
        self.id = next(_ids)
        self.error: RpcError | None = None
        self.is_connected = is_connected
        self.connects = self.abandoned = 0
        self.bytes_moved = self.messages_read = 0
        self.user: Any = None

    def connecting_phase(self) -> Phase:
        return Phase.CONNECT

    def start_write(self, data: Any) -> None:
        """Note the empty message that makes a socket connect."""
        assert not len(data)
        self.connects += 1

    def fail(self, error: RpcError) -> bool:
        if self.error is not None:
            return False
        self.error = error
        self.user.on_failed(self, error)
        return True

    def close(self) -> None:
        self.fail(make_rpc_error(ErrorCode.ECLOSE, "closed", phase=Phase.WAITING))

    def statistics(self) -> Any:
        return types.SimpleNamespace(bytes_read=0, bytes_written=self.bytes_moved)

    def abandon(self) -> None:
        self.abandoned += 1
