"""MessageCutter: bytes in, whole messages out; bRPC's InputMessenger for one connection."""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.iobuf.io_portal import IOPortal
from pybrpc.protocols.detect import PROTOCOLS, detect
from pybrpc.protocols.message import Message, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import (
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseStatus,
    RpcProtocol,
)

LARGE_BYTES = 65536
"""A message that lacks this many bytes or more is parsed again only when it is complete."""


class MessageCutter:
    """Cuts the messages of one connection. Not thread-safe: one reader at a time.

    The first message decides the protocol. After `broken` is set nothing more is cut.
    """

    __slots__ = ("_limits", "_protocols", "_whole_at", "broken", "buffer", "protocol")

    def __init__(
        self,
        limits: ParseLimits | None = None,
        protocols: Sequence[RpcProtocol] = PROTOCOLS,
        protocol: RpcProtocol | None = None,
    ) -> None:
        self.buffer = IOPortal()
        self.protocol = protocol
        self.broken: Broken | None = None
        self._limits = limits or ParseLimits()
        self._protocols = protocols
        self._whole_at = 0
        """Length of `buffer` at which the large message at its front is complete."""

    def cut(self) -> list[Message]:
        """Take all complete messages off `buffer`; the rest remains there."""
        messages: list[Message] = []
        if len(self.buffer) < self._whole_at:
            return messages
        self._whole_at = 0
        while self.buffer and self.broken is None:
            outcome = self._parse_one()
            if type(outcome) is RpcRequest or type(outcome) is RpcResponse:
                messages.append(outcome)
            elif outcome is NEED_MORE:
                wanted = self.bytes_wanted()
                if wanted >= LARGE_BYTES:
                    self._whole_at = len(self.buffer) + wanted
                break
            elif isinstance(outcome, Broken):
                self.broken = outcome
            elif not isinstance(outcome, ParseStatus):
                messages.append(outcome)
                if isinstance(outcome, OversizedMessage):
                    self.broken = Broken(outcome.reason)
        if self.broken is not None:
            self.buffer.clear()
        return messages

    def bytes_wanted(self) -> int:
        """Bytes that the message at the front still needs; 0 if that is not known yet."""
        size = len(self.buffer)
        if self.protocol is None or not size:
            return 0
        if size < self._whole_at:
            return self._whole_at - size
        return self.protocol.bytes_wanted(self.buffer, self._limits)

    def _parse_one(self) -> Message | ParseStatus | Broken:
        protocol = self.protocol
        if protocol is None:
            self.protocol, outcome = detect(self.buffer, self._limits, self._protocols)
            return outcome
        outcome = protocol.parse(self.buffer, self._limits)
        if outcome is NOT_MINE:
            return Broken(f"no {protocol.name} message starts with {self.buffer.peek(16)!r}")
        return outcome
