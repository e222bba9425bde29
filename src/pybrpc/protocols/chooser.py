"""Chooser: the session of an accepted connection whose protocol is not known yet.

The handshake of TLS may have named a protocol. Else each protocol looks at the first bytes, in the
order in which they were given, and the first one that says yes has the connection. Protocols of the
kind "rpc" are one choice: their frames share a connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybrpc.protocols.detect import described_start
from pybrpc.protocols.message import Message
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import Broken, ParseLimits
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import (
    MAX_DETECT_BYTES,
    RPC,
    Detection,
    alpn_names,
    detection_of,
    kind_of,
    new_session,
)


def new_server_session(limits: ParseLimits, protocols: Sequence[Any]) -> Session:
    """The session of an accepted connection that may speak any of `protocols`."""
    if all(kind_of(protocol) == RPC for protocol in protocols):
        return MessageCutter(limits, protocols)
    return Chooser(limits, protocols)


class Chooser(Session):
    """Its `successor` is the session of the protocol. At most 28 bytes are looked at."""

    def __init__(self, limits: ParseLimits, protocols: Sequence[Any]) -> None:
        super().__init__()
        self._limits = limits
        self._protocols = protocols

    def choose_by_alpn(self, alpn: str | None) -> None:
        """The handshake of TLS is over, and both sides have named `alpn`, or nothing."""
        for protocol in self._protocols:
            if alpn is not None and alpn in alpn_names(protocol):
                self._choose(protocol)
                return

    def cut(self) -> list[Message]:
        if self.buffer and self.broken is None and self.successor is None:
            found = self._detect(self.buffer.peek(MAX_DETECT_BYTES))
            if found is None:
                start = described_start(self.buffer)
                self.broken = Broken(f"no known protocol starts with {start}")
            elif found is not Detection.NEED_MORE:
                self._choose(found)
        if self.broken is not None:
            self.buffer.clear()
        return []

    def _detect(self, first: bytes) -> Any:
        """The protocol whose these bytes are, NEED_MORE, or `None` if they are nobody's."""
        outcome = None
        for protocol in self._protocols:
            detection = detection_of(protocol, first, self._limits)
            if detection is Detection.YES:
                return protocol
            if detection is Detection.NEED_MORE:
                outcome = Detection.NEED_MORE
        return outcome

    def _choose(self, protocol: Any) -> None:
        if kind_of(protocol) == RPC:
            same = [one for one in self._protocols if kind_of(one) == RPC]
            self.successor = MessageCutter(self._limits, same)
        else:
            self.successor = new_session(protocol, Side.SERVER, self._limits)
