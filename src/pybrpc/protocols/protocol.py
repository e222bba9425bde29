"""RpcProtocol: the interface of a protocol, with the limits and the outcomes of parsing."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcMessage, RpcRequest, RpcResponse

DEFAULT_MAX_BODY_SIZE = 64 * 1024 * 1024
"""Bytes; the default of C++ bRPC's `-max_body_size`."""


class ParseStatus(enum.Enum):
    """Outcomes of `parse` that consume nothing."""

    NEED_MORE = "need more"
    """The bytes may be the start of a message of this protocol; parse again with more bytes."""
    NOT_MINE = "not mine"
    """No message of this protocol starts with these bytes."""


NEED_MORE: Final[Literal[ParseStatus.NEED_MORE]] = ParseStatus.NEED_MORE
NOT_MINE: Final[Literal[ParseStatus.NOT_MINE]] = ParseStatus.NOT_MINE


@dataclass(frozen=True, slots=True)
class Broken:
    """The bytes are of this protocol but invalid, for `reason`; the connection must be closed."""

    reason: str


DEFAULT_MAX_META_SIZE = 1024 * 1024
"""Bytes. Parsing a meta, in the thread that reads all connections, makes objects of many times its
size. Longer ones are not sent either."""


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """The sizes that a peer may send, in bytes. `max_body_size` limits a message without its fixed
    header, `max_meta_size` its meta."""

    max_body_size: int = DEFAULT_MAX_BODY_SIZE
    max_meta_size: int = DEFAULT_MAX_META_SIZE


ParseOutcome = RpcMessage | ParseStatus | Broken


class RpcProtocol(Protocol):
    """Parses and packs the messages of one protocol.

    An implementation has no state of connections, and all threads may use it at once. No method
    blocks.
    """

    @property
    def name(self) -> str:
        """The name of the protocol in C++ bRPC, such as "baidu_std"."""

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        """Cut one message from the front of `buffer`.

        A message is removed from `buffer`; with a `ParseStatus` nothing is removed; after `Broken`
        or `OversizedMessage` the rest of `buffer` is undefined. No bytes make this method raise.
        The `limits` are checked on the declared sizes: at most the fixed header and `max_body_size`
        bytes are awaited, and of a message over the limit only those up to its correlation id.
        """

    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        """The number of bytes of `buffer` that `parse`, with the same `limits`, needs for its next
        step; 0 if none or unknown.

        Cheap; consumes nothing. After NEED_MORE, a reader receives that many bytes.
        """

    def pack_request(self, request: RpcRequest) -> IOBuf:
        """The bytes of a request. A large body and the attachment are shared, not copied.

        BadRequestError if the protocol can't carry a value, or the meta is above
        DEFAULT_MAX_META_SIZE.
        """

    def pack_fast_request(
        self, correlation_id: int, service: str, method: str, timeout_ms: int | None, body: bytes
    ) -> IOBuf:
        """`pack_request` for a request that has these fields only, as most have; faster.

        `correlation_id`, `service`, `method`, `timeout_ms`, `body`: as in RpcRequest.
        """

    def pack_response(self, response: RpcResponse) -> IOBuf:
        """The bytes of a response, as `pack_request` makes those of a request.

        BadResponseError if the protocol can't carry a value.
        """

    def pack_fast_response(self, correlation_id: int, body: bytes) -> IOBuf:
        """`pack_response` for a success that has no other fields than `correlation_id` and `body`,
        as most have; faster."""
