"""TlsLayer: TLS between the messages and the descriptor of one connection.

The TLS object never touches the descriptor: it turns bytes of one memory BIO into bytes of
another. `SSL*` is not thread-safe, so it has one owner, the dispatcher: `start_write` leaves
all writing to it (`writes_in_background`), and no lock is needed (bRPC needs one: brpc#2166).

Three things follow from TLS not being a pipe:

    What was encrypted has to go out, in that order. It waits in `_ciphertext`, and nothing more
    is encrypted before it is gone: at most one window of it is in memory, and a message is known
    to be out when nothing is unsent.

    A read of the descriptor may complete several records. All of them are decrypted at once,
    until TLS wants more: the descriptor never becomes readable for what lies in here.

    Reading may make TLS want to write (an alert, a KeyUpdate), and writing never needs to read:
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
"""Plaintext that is encrypted before its ciphertext must be gone."""

MAX_UNSENT_BYTES = 1024 * 1024
HANDSHAKE_READ_BYTES = 16 * 1024

_ALERT = 21
_HANDSHAKE = 22


class TlsLayer:
    """A ConnectionLayer over `ssl.SSLObject`."""

    __slots__ = (
        "_ciphertext",
        "_early",
        "_end_is_told",
        "_failure",
        "_has_finished",
        "_has_heard",
        "_incoming",
        "_is_broken",
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
        """`server_name` is what the client calls the server, and checks if the context says so.

        ValueError if it can't be a name.
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
        self._has_heard = False
        self._has_finished = False
        self._is_broken = False
        self._is_ended = False
        self._end_is_told = False
        self.tls: TlsInfo | None = None

    @property
    def has_unsent(self) -> bool:
        return bool(self._ciphertext) or self._outgoing.pending > 0

    @property
    def has_unread(self) -> bool:
        is_end_untold = self._is_ended and not self._end_is_told
        return bool(self._early) or is_end_untold or self._failure is not None

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

    def hear(self, data: bytes) -> None:
        """Bytes of the handshake that somebody else has read from the descriptor."""
        if not self._has_heard:
            self._has_heard = True
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
        """Say close_notify. What the peer still sends can be read."""
        if self.tls is None or self._has_finished or self._is_broken:
            return
        self._has_finished = True
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        self._flush_if_possible(fd)

    def close(self, fd: int, /) -> None:
        """Say close_notify, but not in the middle of what is unsent: that is no end."""
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
        """Read what goes on with the handshake; False: nothing came."""
        try:
            data = os.read(fd, HANDSHAKE_READ_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError as error:
            code = error.errno or ErrorCode.EFAILEDSOCKET
            raise gone_error(code, self._has_heard) from error
        if not data:
            raise gone_error(ErrorCode.EEOF, self._has_heard)
        self.hear(data)
        return True

    # --- writing ---

    def _encrypt(self, pieces: Sequence[IOBuf]) -> int:
        """Turn up to a window of the pieces into records, small pieces into one."""
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
        """Why the peer broke the connection: it may have sent an alert before."""
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
        """Decrypt all records that are whole; return how many bytes they held.

        What ends the stream, or breaks it, is kept for the next read if records came before it.
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
        self._end_is_told = True
        return 0

    def _fail(self, error: ssl.SSLError) -> RpcError:
        """After an error the TLS object must not be used any more."""
        self._is_broken = True
        return tls_error(error)

    def __repr__(self) -> str:
        side = "server" if self._is_server else "client"
        if self.tls is None:
            return f"<TlsLayer of a {side}, shaking hands>"
        return f"<TlsLayer of a {side}, {self.tls.version}, {self.tls.cipher}>"
