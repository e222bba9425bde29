"""TlsLayer: TLS between the messages and the descriptor of one connection.

The TLS object never touches the descriptor: it turns bytes of one memory BIO into bytes of
another. `SSL*` is not thread-safe, so only the dispatcher uses it: `start_write` leaves all writing
to the dispatcher (`writes_in_background`), and no lock is needed (bRPC needs one: brpc#2166).

TLS is no plain pipe. Three rules follow:

    Encrypted bytes have to be written, in their order. They wait in `_ciphertext`, and nothing more
    is encrypted before they are written. So at most one window of them is in memory, and a message
    is known to be written when nothing is unsent.

    A read of the descriptor may complete several records. All of them are decrypted at once, until
    TLS needs more bytes: the descriptor does not become readable for bytes that are held here.

    Reading may make TLS write (an alert, a KeyUpdate). Writing never needs to read, as
    renegotiation is off.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Sequence

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.interfaces import TlsInfo
from pybrpc.transport.tls.tls_errors import (
    cut_off_error,
    flooded_error,
    gone_error,
    not_tls_error,
    tls_error,
)

RECORD_BYTES = 16 * 1024
"""The most plaintext that one record holds, RFC 8446 section 5.1."""

WINDOW_BYTES = 256 * 1024
"""Most plaintext that is encrypted before its ciphertext must be written."""

MAX_UNSENT_BYTES = 1024 * 1024
HANDSHAKE_READ_BYTES = 16 * 1024

_ALERT = 21
_HANDSHAKE = 22


class TlsLayer:
    """A ConnectionLayer over `ssl.SSLObject`."""

    __slots__ = (
        "_ciphertext",
        "_early",
        "_failure",
        "_has_finished",
        "_has_received",
        "_incoming",
        "_is_broken",
        "_is_end_reported",
        "_is_ended",
        "_is_server",
        "_object",
        "_outgoing",
        "tls",
    )

    writes_in_background = True

    def __init__(
        self, context: ssl.SSLContext, *, server_name: str | None = None, is_server: bool = False
    ) -> None:
        """`server_name`: the name that the client asks for, and checks if the context says so.

        Raises ValueError if it can't be a name.
        """
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=is_server, server_hostname=server_name
        )
        self._is_server = is_server
        self._ciphertext = IOBuf()
        self._early = IOBuf()
        self._failure: RpcError | None = None
        self._has_received = False
        self._has_finished = False
        self._is_broken = False
        self._is_ended = False
        self._is_end_reported = False
        self.tls: TlsInfo | None = None

    @property
    def has_unsent(self) -> bool:
        return bool(self._ciphertext) or self._outgoing.pending > 0

    @property
    def has_unread(self) -> bool:
        is_end_pending = self._is_ended and not self._is_end_reported
        return bool(self._early) or is_end_pending or self._failure is not None

    def shake_hands(self, fd: int, /) -> bool:
        while not self._handshake_is_over():
            self._flush_if_possible(fd)
            if not self._receive(fd):
                return False
        self._flush_if_possible(fd)
        self.tls = TlsInfo.of(self._object)
        if self._incoming.pending:
            self._decrypt_into(self._early)
        return True

    def take_first_bytes(self, data: bytes) -> None:
        """Take the first bytes of the handshake, which were read from the descriptor elsewhere."""
        if not self._has_received:
            self._has_received = True
            if data[0] != _HANDSHAKE and (self._is_server or data[0] != _ALERT):
                raise not_tls_error(data, self._is_server)
        self._incoming.write(data)

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        taken = 0 if self.has_unsent else self._encrypt(pieces)
        try:
            self._flush(fd)
        except BlockingIOError:
            if not taken:
                raise
        except ConnectionError as error:
            raise self._alert_behind(fd, error) from error
        return taken

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        if self.has_unread:
            return self._give_unread(buffer)
        data = os.read(fd, max_bytes)
        if not data:
            if self._is_ended:
                return 0
            raise cut_off_error()
        self._incoming.write(data)
        count = self._decrypt_into(buffer)
        if self._outgoing.pending + len(self._ciphertext) > MAX_UNSENT_BYTES:
            raise flooded_error(MAX_UNSENT_BYTES)
        if count:
            return count
        if self.has_unread:
            return self._give_unread(buffer)
        raise BlockingIOError

    def finish(self, fd: int, /) -> None:
        """Send close_notify. The peer may still send, and that can be read."""
        if self.tls is None or self._has_finished or self._is_broken:
            return
        self._has_finished = True
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        self._flush_if_possible(fd)

    def close(self, fd: int, /) -> None:
        """Send close_notify, unless bytes are unsent: the stream is cut in the middle of them."""
        with contextlib.suppress(OSError, ValueError):
            if self.has_unsent:
                self._flush(fd)
            else:
                self.finish(fd)

    # --- handshake ---

    def _handshake_is_over(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise self._fail(error) from error
        return True

    def _receive(self, fd: int) -> bool:
        """Read bytes of the handshake. False if none have arrived."""
        try:
            data = os.read(fd, HANDSHAKE_READ_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError as error:
            code = error.errno or ErrorCode.EFAILEDSOCKET
            raise gone_error(code, self._has_received) from error
        if not data:
            raise gone_error(ErrorCode.EEOF, self._has_received)
        self.take_first_bytes(data)
        return True

    # --- writing ---

    def _encrypt(self, pieces: Sequence[IOBuf]) -> int:
        """Encrypt up to one window of the pieces, small pieces together in one record."""
        plain = IOBuf()
        for piece in pieces:
            if len(plain) >= WINDOW_BYTES:
                break
            plain.append(piece.cutn(WINDOW_BYTES - len(plain)))
        taken = len(plain)
        try:
            while plain:
                record = plain.cut_contiguous(RECORD_BYTES)
                while record:
                    record = record[self._object.write(record) :]
        except ssl.SSLError as error:
            raise self._fail(error) from error
        return taken

    def _flush(self, fd: int) -> None:
        if self._outgoing.pending:
            self._ciphertext.append(self._outgoing.read())
        self._ciphertext.cut_into_fd(fd)

    def _flush_if_possible(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._flush(fd)

    def _alert_behind(self, fd: int, error: ConnectionError) -> Exception:
        """Why the peer reset the connection: an alert that it sent before, else `error`."""
        try:
            self._incoming.write(os.read(fd, HANDSHAKE_READ_BYTES))
            self._decrypt_into(IOBuf())
        except RpcError as alert:
            return alert
        except OSError:
            return error
        return self._failure or error

    # --- reading ---

    def _decrypt_into(self, buffer: IOBuf) -> int:
        """Decrypt all complete records; return how many bytes they held.

        If an end or an error follows them, it is kept for the next read.
        """
        parts: list[bytes] = []
        try:
            while part := self._object.read(RECORD_BYTES):
                parts.append(part)
            self._is_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._is_ended = True
        except ssl.SSLError as error:
            failure = self._fail(error)
            if not parts:
                raise failure from error
            self._failure = failure
        if not parts:
            return 0
        return buffer.append_received(parts[0] if len(parts) == 1 else b"".join(parts))

    def _give_unread(self, buffer: IOBuf) -> int:
        if self._early:
            early, self._early = self._early, IOBuf()
            buffer.append(early)
            return len(early)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self._is_end_reported = True
        return 0

    def _fail(self, error: ssl.SSLError) -> RpcError:
        """Note that the TLS object must not be used any more."""
        self._is_broken = True
        return tls_error(error)

    def __repr__(self) -> str:
        side = "server" if self._is_server else "client"
        if self.tls is None:
            return f"<TlsLayer of a {side}, shaking hands>"
        return f"<TlsLayer of a {side}, {self.tls.version}, {self.tls.cipher}>"
