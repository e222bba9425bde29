"""ConnectionLayer and AppConnect: what a socket needs from TLS, and from a protocol that has a
handshake.

A ConnectionLayer lies between the messages of one connection and its descriptor. Most connections
have none: `PLAIN` gives bytes to the kernel as they are. TLS is a layer, and so is any framing
below the messages. After bRPC's `SocketConnection`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pybrpc.iobuf import IOBuf, cut_multiple_into_fd

if TYPE_CHECKING:
    import ssl


class ConnectionLayer(Protocol):
    """How the bytes of one connection go into its descriptor and come out of it.

    One object per connection. No method blocks. If `writes_in_background`, all methods are called
    in turns of the dispatcher, one at a time, unless noted. Else the holder of the write right
    calls `cut_into_fd` and `finish`, in any thread, also while another runs `append_from_fd`.

    A layer that can't write before it has read (credit) must not be used with
    `pauses_reads_when_overcrowded`.

    It may have counts of what it holds, of which nothing else knows: `held_bytes`, received and not
    given yet, and `unsent_bytes`, taken or its own, and not written yet.

    An exception of a method fails the connection and all that waits for it: an RpcError, whose text
    describes the fault, or an OSError of the descriptor.
    """

    @property
    def writes_in_background(self) -> bool:
        """Whether `start_write` leaves all writing to the dispatcher. Fixed by `shake_hands`."""

    @property
    def has_unsent(self) -> bool:
        """Whether it holds bytes, taken or its own, that the kernel has not taken yet."""

    @property
    def has_unread(self) -> bool:
        """Whether `append_from_fd` has something to return without reading the descriptor."""

    @property
    def tls(self) -> TlsInfo | None:
        """Version, cipher, certificate, if this is TLS and its handshake is over. Any thread."""

    def shake_hands(self, fd: int, /) -> bool:
        """Continue the layer's own handshake; True once it is over.

        After False it is called again when the descriptor can be read, or written if `has_unsent`.
        """

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        """Take bytes off the fronts of `pieces`, in order, and write them to `fd`; return how many
        were taken.

        The taken bytes count as written once `has_unsent` is False. If `pieces` are empty, unsent
        bytes are written. Raises BlockingIOError if nothing was taken because the kernel takes
        nothing now, OvercrowdedError if nothing was taken because the layer itself has no room now.
        After that it is called again after a pause; in the handshake of an `AppConnect` it fails
        the handshake.
        """

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        """Read once, and append to `buffer` the bytes that are complete; return their number, 0 at
        the end.

        Reads at most `max_bytes` from the descriptor `fd`. Raises BlockingIOError if nothing is
        complete yet.
        """

    def finish(self, fd: int, /) -> None:
        """Nothing more will be written. The closing message of the layer may become `has_unsent`.

        Must not raise BlockingIOError. May be called again.
        """

    def close(self, fd: int, /) -> None:
        """Write a closing message, as far as the kernel takes it now.

        The descriptor is closed next. Raises nothing. Called by the holder of the write right,
        after reading has stopped.
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
        """A plain connection has no closing message."""

    def close(self, fd: int, /) -> None:
        """A plain connection has no closing message."""

    def __repr__(self) -> str:
        return "<PlainLayer>"


PLAIN: ConnectionLayer = PlainLayer()
"""The layer of connections without one. It has no state, so all of them share it."""


def bytes_held_by(layer: ConnectionLayer) -> int:
    """The `held_bytes` of a layer, or 0 if it doesn't count them."""
    held: int = getattr(layer, "held_bytes", 0)
    return held


class AppConnect(Protocol):
    """The handshake of a protocol on one connection, without any I/O: bytes in, bytes out.

    One object per socket. Called in turns of the dispatcher, one call at a time; must not block. An
    exception of it fails the connection in the phase "handshake": an RpcError (AuthenticationError,
    ...) as it is, anything else in the text of a HandshakeError.
    """

    def start(self, outgoing: IOBuf) -> bool:
        """TCP and TLS are established: append the first bytes to send.

        True if no answer is awaited. The bytes are written completely before the first message.
        """

    def on_data(self, incoming: IOBuf, outgoing: IOBuf) -> bool:
        """Bytes of the peer have arrived: take them off `incoming`, append to `outgoing`.

        True if the handshake is over. `incoming` holds all bytes that arrived and were not taken
        yet, so an answer in it may be incomplete, or be followed by another. Bytes left in it at
        the end are read as messages.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class TlsInfo:
    """The result of a TLS handshake; readable by any thread."""

    version: str
    """ "TLSv1.3" or "TLSv1.2"."""
    cipher: str
    """Name of the cipher, as OpenSSL has it."""
    alpn: str | None
    """The protocol that both sides named, or `None`."""
    peer_certificate: dict[str, Any] | None
    """Decoded as by `ssl.SSLSocket.getpeercert()`; `None` if the peer sent none, or if it was not
    verified."""
    peer_certificate_der: bytes | None = dataclasses.field(repr=False)
    """The certificate in its binary form, verified or not."""

    @classmethod
    def of(cls, tls: ssl.SSLObject) -> TlsInfo:
        """Describe a connection whose handshake is over."""
        cipher = tls.cipher()
        return cls(
            version=tls.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=tls.selected_alpn_protocol(),
            peer_certificate=tls.getpeercert() or None,
            peer_certificate_der=tls.getpeercert(binary_form=True),
        )
