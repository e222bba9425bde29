"""The contract of a protocol, and the outcomes of parsing."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import Message, RpcRequest, RpcResponse

DEFAULT_MAX_BODY_SIZE = 64 * 1024 * 1024
"""Bytes; the default of C++ bRPC's `-max_body_size`."""


class ParseStatus(enum.Enum):
    """Outcomes that consume nothing."""

    NEED_MORE = "need more"
    """The bytes may be the start of a message of this protocol; ask again when there are more."""
    NOT_MINE = "not mine"
    """No message of this protocol starts like this."""


NEED_MORE: Final[Literal[ParseStatus.NEED_MORE]] = ParseStatus.NEED_MORE
NOT_MINE: Final[Literal[ParseStatus.NOT_MINE]] = ParseStatus.NOT_MINE


@dataclass(frozen=True, slots=True)
class Broken:
    """It is this protocol, and it makes no sense; the connection can only be closed."""

    reason: str


DEFAULT_MAX_META_SIZE = 1024 * 1024
"""A meta becomes objects of many times its size, in the thread that reads all connections."""


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What a peer may send. `max_body_size`: bytes of a message after its fixed header;
    `max_meta_size`: bytes of what it says about itself."""

    max_body_size: int = DEFAULT_MAX_BODY_SIZE
    max_meta_size: int = DEFAULT_MAX_META_SIZE


ParseOutcome = Message | ParseStatus | Broken


class RpcProtocol(Protocol):
    """How the messages of one protocol look on a connection.

    Implementations keep no state of a connection and may be used by all threads at once. No
    method blocks.
    """

    @property
    def name(self) -> str:
        """The name that C++ bRPC gives it, such as "baidu_std"."""

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        """Cut one message from the front of `buffer`.

        A message is removed from `buffer`; `ParseStatus` removes nothing; after `Broken` or
        `OversizedMessage` the rest of `buffer` means nothing. Whatever a peer sends, nothing is
        raised. Limits are checked on the declared sizes: at most the fixed header and
        `max_body_size` bytes are ever awaited, and of a message over the limit only as much as
        tells its correlation id.
        """

    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        """How many bytes are missing for the next step of `parse`, 0 if none or unknown.

        Cheap, and consumes nothing: after NEED_MORE it tells a reader how much to receive.
        """

    def pack_request(self, request: RpcRequest) -> IOBuf:
        """The bytes of a request; a large body and the attachment are shared, not copied.

        Raises BadRequestError for what the protocol can't carry.
        """

    def pack_plain_request(
        self, correlation_id: int, service: str, method: str, timeout_ms: int | None, body: bytes
    ) -> IOBuf:
        """`pack_request` of a request that has nothing else, as most have."""

    def pack_response(self, response: RpcResponse) -> IOBuf:
        """The bytes of a response; as `pack_request`, but raises BadResponseError."""

    def pack_plain_response(self, correlation_id: int, body: bytes) -> IOBuf:
        """`pack_response` of a success that has nothing else, as most have."""
