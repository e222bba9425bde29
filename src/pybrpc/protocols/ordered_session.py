"""OrderedSession: the session of a protocol that has messages, but no correlation ids.

Responses come in the order of the requests. A server numbers the requests that it reads. A client
notes the id of each request in the step that turns it into bytes, so in the order of the wire: for
one request at a time, before any of its bytes can leave, and so before its response can come.
"""

from __future__ import annotations

import dataclasses
from collections import deque

from pybrpc.protocols.message import BadMessage, Message, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import LARGE_BYTES
from pybrpc.protocols.protocol import (
    NEED_MORE,
    Broken,
    ParseLimits,
    ParseOutcome,
    ParseStatus,
    RpcProtocol,
)
from pybrpc.protocols.session import Session, Side, asks_for_too_much, wrong_outcome

_SENT_BYTES = 40
"""Memory of the id of a request that waits for its response."""


class OrderedSession(Session):
    """Cuts the messages of one connection, and gives each its correlation id."""

    def __init__(self, protocol: RpcProtocol, side: Side, limits: ParseLimits) -> None:
        super().__init__(protocol)
        self._side = side
        self._limits = limits
        self._sent: deque[int] = deque()
        """Ids of the requests whose responses have not come; a client's."""
        self._read = 0
        """Requests that were read; a server's."""
        self._whole_at = 0
        """Length of `buffer` at which the large message at its front is complete."""

    @property
    def is_ordered(self) -> bool:
        return True

    @property
    def held_bytes(self) -> int:
        return _SENT_BYTES * len(self._sent)

    def note_sent(self, correlation_id: int) -> None:
        self._sent.append(correlation_id)

    def cut(self) -> list[Message]:
        messages: list[Message] = []
        if self.broken is None and len(self.buffer) < self._whole_at:
            return messages
        self._whole_at = 0
        while self.buffer and self.broken is None:
            size = len(self.buffer)
            outcome = self.protocol.parse(self.buffer, self._limits)
            if outcome is NEED_MORE:
                wanted = self.bytes_wanted()
                self.broken = asks_for_too_much(self.protocol, size + wanted, self._limits)
                if wanted >= LARGE_BYTES and self.broken is None:
                    self._whole_at = len(self.buffer) + wanted
                break
            if len(self.buffer) >= size and not isinstance(outcome, ParseStatus | Broken):
                raise wrong_outcome(self.protocol, outcome)
            self._take(outcome, messages)
        if self.broken is not None:
            self.buffer.clear()
        return messages

    def bytes_wanted(self) -> int:
        size = len(self.buffer)
        if size < self._whole_at:
            return self._whole_at - size
        wanted: int = self.protocol.bytes_wanted(self.buffer, self._limits) if size else 0
        return wanted

    def _take(self, outcome: ParseOutcome, messages: list[Message]) -> None:
        if isinstance(outcome, ParseStatus):
            self.broken = Broken(f"no {self.name} message starts with {self.buffer.peek(16)!r}")
            return
        if isinstance(outcome, Broken):
            self.broken = outcome
            return
        if self._side is Side.SERVER:
            self._read += 1
            correlation_id = self._read
        elif self._sent:
            correlation_id = self._sent.popleft()
        else:
            self.broken = Broken("a response has come that no request awaits")
            return
        messages.append(_with_id(outcome, correlation_id))
        if isinstance(outcome, OversizedMessage):
            self.broken = Broken(outcome.reason)


def _with_id(message: Message, correlation_id: int) -> Message:
    if isinstance(message, RpcRequest | RpcResponse):
        message.correlation_id = correlation_id
        return message
    assert isinstance(message, BadMessage | OversizedMessage)
    return dataclasses.replace(message, correlation_id=correlation_id)
