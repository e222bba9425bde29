"""ConnectionLayer and AppConnect: what a socket asks of TLS, and of a protocol that shakes hands.

A ConnectionLayer lies between the messages of one connection and its descriptor. Most connections
have none: `PLAIN` gives bytes to the kernel as they are. TLS is a layer, and so is any framing
below the messages. After bRPC's `SocketConnection`.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Sequence
from typing import Any, Protocol

from pybrpc.iobuf import IOBuf, cut_multiple_into_fd


class ConnectionLayer(Protocol):
    """How the bytes of one connection go into its descriptor and come out of it.

    One object per connection. No method blocks. All but what is noted are called in turns of the
    dispatcher, one at a time, if `writes_in_background`; else `cut_into_fd` and `finish` are
    called by whoever holds the write right, also while `append_from_fd` runs in another thread.

    A layer that can't write before it has read (credit) doesn't go together with
    `pauses_reads_when_overcrowded`.

    What a method raises fails the connection and everybody who waits on it: an RpcError, whose
    text says what went wrong, or an OSError of the descriptor.
    """

    @property
    def writes_in_background(self) -> bool:
        """Whether `start_write` leaves all writing to the dispatcher. Fixed by `shake_hands`."""

    @property
    def has_unsent(self) -> bool:
        """Whether there are bytes that were taken, or made here, and the kernel has not yet."""

    @property
    def has_unread(self) -> bool:
        """Whether `append_from_fd` has something to say though the descriptor has nothing new."""

    @property
    def tls(self) -> TlsInfo | None:
        """What was agreed on, if this is TLS and its handshake is over. Any thread."""

    def shake_hands(self, fd: int, /) -> bool:
        """Go on with the layer's own handshake; True once it is over.

        False: call again when the descriptor can be read, or also written if `has_unsent`.
        """

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        """Take bytes off the fronts of `pieces`, in order, and write; return how many were taken.

        What was taken counts as written once `has_unsent` is False. Without anything in `pieces`
        what is unsent is written. Raises BlockingIOError when nothing was taken and the kernel
        takes nothing now, OvercrowdedError when nothing was taken because the layer itself has no
        room now: it is asked again after a pause, but for the words of an `AppConnect`, whose
        handshake that fails.
        """

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        """Read once, and append what that completes; return how many bytes, 0 at the end.

        `max_bytes` is what to read from the descriptor at most. Raises BlockingIOError when
        nothing is complete yet.
        """

    def finish(self, fd: int, /) -> None:
        """Nothing more will be written. What the layer says to that may become `has_unsent`.

        Not BlockingIOError. May be called again.
        """

    def close(self, fd: int, /) -> None:
        """Last words, as far as the kernel takes them now. The descriptor is closed next.

        Raises nothing. By the holder of the write right, after reading has stopped.
        """


class PlainLayer:
    """No layer: bytes go to the kernel as they are."""

    __slots__ = ()

    writes_in_background = False
    has_unsent = False
    has_unread = False
    tls: TlsInfo | None = None

    cut_into_fd = staticmethod(cut_multiple_into_fd)

    @staticmethod
    def append_from_fd(fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        return buffer.append_from_fd(fd, max_bytes)

    def shake_hands(self, fd: int, /) -> bool:
        return True

    def finish(self, fd: int, /) -> None:
        """There is nothing to say."""

    def close(self, fd: int, /) -> None:
        """There is nothing to say."""

    def __repr__(self) -> str:
        return "<PlainLayer>"


PLAIN: ConnectionLayer = PlainLayer()
"""The layer of connections without one. It has no state, so all share it."""


class AppConnect(Protocol):
    """The handshake of a protocol on one connection, without any I/O: bytes in, bytes out.

    One object per socket. Called in turns of the dispatcher, one call at a time; must not block.
    What it raises fails the connection, in the phase "handshake", and everybody who waits is told:
    an RpcError as it is (AuthenticationError, ...), anything else in the text of a HandshakeError.
    """

    def start(self, outgoing: IOBuf) -> bool:
        """TCP (and TLS) stands: append what is said first. True: that was all, nothing is awaited.

        Whatever was appended is written in full before the first message.
        """

    def on_data(self, incoming: IOBuf, outgoing: IOBuf) -> bool:
        """The peer said something: take it off `incoming`, append what is said next. True: over.

        `incoming` holds all that came and was not taken yet, so an answer may be complete, or not
        yet, or be followed by another. What is left in it at the end is read as messages.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class TlsInfo:
    """As it was when the handshake was over; readable by any thread."""

    version: str
    """ "TLSv1.3" or "TLSv1.2"."""
    cipher: str
    alpn: str | None
    """The protocol that both named, or `None`."""
    peer_certificate: dict[str, Any] | None
    """The peer's, decoded as by `ssl.SSLSocket.getpeercert()`; `None` if it showed none, or if it
    was not verified."""
    peer_certificate_der: bytes | None = dataclasses.field(repr=False)
    """The same as it came, verified or not."""

    @classmethod
    def of(cls, tls: ssl.SSLObject) -> TlsInfo:
        """Of a connection whose handshake is over."""
        cipher = tls.cipher()
        return cls(
            version=tls.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=tls.selected_alpn_protocol(),
            peer_certificate=tls.getpeercert() or None,
            peer_certificate_der=tls.getpeercert(binary_form=True),
        )
