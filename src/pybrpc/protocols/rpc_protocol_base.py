"""RpcProtocolBase: the base class of a protocol of one's own, which has all but its frames."""

from __future__ import annotations

import abc
from typing import ClassVar

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import ParseLimits, ParseOutcome, RpcProtocol
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import (
    RPC,
    Detection,
    detection_by_magic,
    detection_by_parsing,
    new_frame_session,
)


class RpcProtocolBase(abc.ABC):
    """An RpcProtocol without its `name`, `parse`, `pack_request` and `pack_response`.

    magic        what each of its messages begins with; b"" if `parse` has to say what is its own
    kind         "rpc": its frames may share a connection with those of other protocols of the kind;
                 any other name: a connection that it has begun is its own
    is_ordered   no correlation id travels, and responses come in the order of the requests; then
                 its connections are its own
    alpn         the names by which TLS may choose it
    companions   protocols that can't begin a connection, but come on one that this one has begun
    carries_credential   whether a request has a place for a credential
    carries_trace        whether a request has a place for the ids of a trace
    sends_method_index   whether requests name their method by its place in the service
    takes_blocks         whether the body of a message that it packs may be an IOBuf: long ones are

    No state; all threads use one object.
    """

    __slots__ = ()

    magic: ClassVar[bytes] = b""
    kind: ClassVar[str] = RPC
    is_ordered: ClassVar[bool] = False
    alpn: ClassVar[tuple[str, ...]] = ()
    companions: ClassVar[tuple[RpcProtocol, ...]] = ()
    carries_credential: ClassVar[bool] = True
    carries_trace: ClassVar[bool] = False
    sends_method_index: ClassVar[bool] = False
    takes_blocks: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name of the protocol, by which options name it."""

    @abc.abstractmethod
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        """Cut one message from the front of `buffer`; see RpcProtocol."""

    @abc.abstractmethod
    def pack_request(self, request: RpcRequest) -> IOBuf:
        """The bytes of a request."""

    @abc.abstractmethod
    def pack_response(self, response: RpcResponse) -> IOBuf:
        """The bytes of a response."""

    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        """As `RpcProtocol.bytes_wanted`; 0: it is not known."""
        return 0

    def pack_fast_request(
        self, correlation_id: int, service: str, method: str, timeout_ms: int | None, body: bytes
    ) -> IOBuf:
        """As `RpcProtocol.pack_fast_request`, by `pack_request`."""
        request = RpcRequest(correlation_id, service, method, body, timeout_ms=timeout_ms)
        return self.pack_request(request)

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        """As `RpcProtocol.pack_fast_response`, by `pack_response`."""
        return self.pack_response(RpcResponse(correlation_id, body=body))

    def detect(self, first: bytes) -> Detection:
        """Whether a connection that begins with `first`, at most 28 bytes, is of this protocol."""
        if not self.magic:
            return detection_by_parsing(self, first)
        return detection_by_magic(self.magic, first)

    def new_session(self, side: Side, limits: ParseLimits) -> Session:
        """The session of one connection that is of this protocol alone. `side` is the own one;
        messages over `limits` are refused."""
        return new_frame_session(self, side, limits)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
