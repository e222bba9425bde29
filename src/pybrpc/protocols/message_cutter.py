"""MessageCutter: bytes in, whole messages out; bRPC's InputMessenger for one connection.

The Session of protocols whose messages are frames, each of which says by its first bytes what it
is. Such protocols are of one kind, "rpc": their frames may come in any order on one connection, and
each request is answered in the protocol that it came in. Hardly any connection makes use of that,
so the protocol of the last frame is asked first, and the others only when it is not the one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pybrpc.iobuf.io_portal import IOPortal
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.built_in import framed_protocols
from pybrpc.protocols.detect import described_start, detect
from pybrpc.protocols.message import (
    BadMessage,
    Message,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
)
from pybrpc.protocols.protocol import (
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseStatus,
    RpcProtocol,
)
from pybrpc.protocols.session import Session, asks_for_too_much, wrong_outcome
from pybrpc.protocols.streaming.stream_frame import StreamFrame

LARGE_BYTES = 65536
"""A message that lacks this many bytes or more is parsed again only when it is complete."""


MAX_SKIPPED_BYTES = 256 * 1024 * 1024
"""The longest body that a client reads and drops because it is over `max_body_size`. To read a
longer one would keep the other calls of the connection waiting for too long."""

NO_OUTPUT = IOBuf()
"""The `output` of all MessageCutters, always empty: a frame is answered by the user of the socket,
never while it is cut."""


class MessageCutter(Session):
    """Cuts the messages of one connection. Not thread-safe: one reader at a time.

    The first message decides the protocol, and the next ones may be of others of `protocols`. The
    `companions` of a protocol can't begin a connection, but come on one that it has begun. After
    `broken` is set nothing more is cut. The body of a message that is too long is skipped, up to
    `max_skipped_bytes`; a longer one sets `broken`.
    """

    __slots__ = (
        "_companions",
        "_current",
        "_is_mixed",
        "_limits",
        "_max_skipped_bytes",
        "_openers",
        "_skip",
        "_whole_at",
    )

    def __init__(
        self,
        limits: ParseLimits | None = None,
        protocols: Sequence[RpcProtocol] | None = None,
        protocol: RpcProtocol | None = None,
        max_skipped_bytes: int = 0,
    ) -> None:
        self.buffer = IOPortal()
        self.output = NO_OUTPUT
        self.broken: Broken | None = None
        self.has_more = False
        self.successor = None
        self.protocol = protocol
        """The protocol of the first message."""
        if protocols is None:
            protocols = framed_protocols() if protocol is None else (protocol,)
        self._openers = protocols
        self._companions: tuple[RpcProtocol, ...] | None = None
        """All protocols that may come after the first message; `None` before they are needed."""
        self._current = protocol
        """The protocol of the last message."""
        self._is_mixed = False
        """Whether that is another one than `protocol`."""
        self._limits = limits or ParseLimits()
        self._max_skipped_bytes = max_skipped_bytes
        self._skip = 0
        """Bytes that are still to be skipped."""
        self._whole_at = 0
        """Length of `buffer` at which the large message at its front is complete."""

    def cut(self) -> list[Message]:
        messages: list[Message] = []
        if len(self.buffer) < self._whole_at:
            return messages
        self._whole_at = 0
        if self._skip:
            self._skip_some()
        while self.buffer and self.broken is None:
            size = len(self.buffer)
            outcome = self._parse_one()
            if type(outcome) is RpcRequest or type(outcome) is RpcResponse:
                messages.append(self._with_packer(outcome) if self._is_mixed else outcome)
            elif type(outcome) is StreamFrame:
                messages.append(outcome)
            elif outcome is NEED_MORE:
                wanted = self.bytes_wanted()
                self.broken = asks_for_too_much(self._current, size + wanted, self._limits)
                if wanted >= LARGE_BYTES and self.broken is None:
                    self._whole_at = len(self.buffer) + wanted
                break
            elif isinstance(outcome, Broken):
                self.broken = outcome
            elif isinstance(outcome, OversizedMessage):
                messages.append(self._skip_oversized(outcome))
            elif not isinstance(outcome, ParseStatus):
                messages.append(self._with_packer(outcome) if self._is_mixed else outcome)
            if len(self.buffer) >= size and self.broken is None:
                raise wrong_outcome(self._current, outcome)
        if self.broken is not None:
            self.buffer.clear()
        return messages

    def bytes_wanted(self) -> int:
        size = len(self.buffer)
        if self._skip:
            return self._skip
        if self._current is None or not size:
            return 0
        if size < self._whole_at:
            return self._whole_at - size
        return self._current.bytes_wanted(self.buffer, self._limits)

    def _skip_oversized(self, message: OversizedMessage) -> Message:
        if message.rest_bytes > self._max_skipped_bytes:
            self.broken = Broken(message.reason)
            return self._with_packer(message) if self._is_mixed else message
        self._skip = message.rest_bytes
        self._skip_some()
        return dataclasses.replace(message, is_skipped=True)

    def _skip_some(self) -> None:
        here = min(self._skip, len(self.buffer))
        self.buffer.pop_front(here)
        self._skip -= here

    def _parse_one(self) -> Message | ParseStatus | Broken:
        current = self._current
        if current is None:
            current, outcome = detect(self.buffer, self._limits, self._openers)
            self._current = self.protocol = current
            return outcome
        outcome = current.parse(self.buffer, self._limits)
        return self._parse_other() if outcome is NOT_MINE else outcome

    def _parse_other(self) -> Message | ParseStatus | Broken:
        """The message at the front is not of the protocol of the last one: of which is it?"""
        if self._companions is None:
            self._companions = with_companions(self._openers)
        found, outcome = detect(self.buffer, self._limits, self._companions)
        if found is not None:
            self._current = found
            self._is_mixed = found is not self.protocol
        elif isinstance(outcome, Broken):
            start = described_start(self.buffer)
            return Broken(f"no {self.name} message starts with {start}")
        return outcome

    def _with_packer(self, message: Any) -> Any:
        """The message, with the protocol that its response has to be packed by."""
        if type(message) is RpcRequest:
            message.packer = self._current
        elif isinstance(message, BadMessage | OversizedMessage):
            return dataclasses.replace(message, packer=self._current)
        return message


def with_companions(protocols: Sequence[RpcProtocol]) -> tuple[RpcProtocol, ...]:
    """The protocols, and the companions that each of them names."""
    found = dict.fromkeys(protocols)
    for protocol in protocols:
        found.update(dict.fromkeys(getattr(protocol, "companions", ())))
    return tuple(found)
