"""HuluConnection: a connection of hulu_pbrpc, whose requests name their methods by an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.errors import ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt, AttemptedCall

_ERPCAUTH = int(ErrorCode.ERPCAUTH)


class HuluConnection(RpcConnection):
    """Like an RpcConnection, but no request is a fast one: those have no room for the index."""

    __slots__ = ()

    def _pack(self, call: AttemptedCall, correlation_id: int) -> IOBuf:
        return self._protocol.pack_request(self._request_of(call, correlation_id))

    def _request_of(self, call: AttemptedCall, correlation_id: int) -> RpcRequest:
        request = RpcConnection._request_of(self, call, correlation_id)
        method: Any = call.method
        request.method_index = method.index
        return request

    def _refuse_request(self, attempt: Attempt | None) -> None:
        """A server of C++ bRPC, up to 1.17 at least, refuses a credential by the meta of the
        request itself, which it has mistaken for that of its response."""
        if attempt is None or self._authentication is None:
            RpcConnection._refuse_request(self, attempt)
        else:
            refusal = RpcResponse(attempt.correlation_id, _ERPCAUTH, "Fail to authenticate")
            self._on_response(attempt, refusal)
