"""TlsLayer: TLS between the messages and the descriptor of one connection.

The TLS object never touches the descriptor: it turns bytes of one memory BIO into bytes of
another. `SSL*` is not thread-safe, so only the dispatcher uses it: `start_write` leaves all writing
to the dispatcher (`writes_in_background`), and no lock is needed (bRPC needs one: brpc#2166).

TLS is no plain pipe. Three rules follow:

    Encrypted bytes have to be written, in their order. They wait in `_ciphertext`, and nothing more
    is encrypted before they are written. So at most one window of them is in memory, and a message
    is known to be written when nothing is unsent.

    A read of the descriptor may complete several records. All of them are decrypted, but no more
    at once than takes STEP_S. Then `has_unread` is set, and `append_from_fd` must be called again:
    the descriptor does not become readable for bytes that are held here.

    Reading may make TLS write (an alert, a KeyUpdate). Writing never needs to read, as
    renegotiation is off.

A memory BIO and a TLS object keep what they once needed. So each BIO gets and gives about one
record at a time, and an idle connection costs about 50 KiB, whatever it has carried.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from pybrpc.base.lazy_modules import ssl
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.interfaces import TlsInfo
from pybrpc.transport.tls.records import ReceivedRecords
from pybrpc.transport.tls.tls_errors import (
    control_flood_error,
    cut_off_error,
    flooded_error,
    gone_error,
    not_tls_error,
    tls_error,
)

RECORD_BYTES = 16 * 1024
"""The most plaintext that one record holds, RFC 8446 section 5.1."""

WINDOW_BYTES = 256 * 1024
"""Most plaintext that is encrypted before its ciphertext must be written, and most ciphertext that
is read at once."""

STEP_S = 0.001
"""Seconds after which a step decrypts no more."""

MAX_SILENT_RECORDS = 64
"""Most records in a row that carry no data: session tickets, KeyUpdates, warnings."""

PROTOCOL_VERSION_ALERT = bytes((21, 3, 1, 0, 2, 2, 70))
"""A fatal alert, in plaintext: RFC 8446, section 6."""

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
        "_is_behind",
        "_is_broken",
        "_is_end_reported",
        "_is_ended",
        "_is_server",
        "_object",
        "_outgoing",
        "_received",
        "_silent_records",
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
        self._received = ReceivedRecords()
        self._is_behind = False
        """Whether a step has ended before all that was received was decrypted."""
        self._silent_records = 0
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
    def unsent_bytes(self) -> int:
        """Ciphertext that the kernel has not taken yet."""
        return len(self._ciphertext) + self._outgoing.pending

    @property
    def held_bytes(self) -> int:
        """Bytes received and not given yet, encrypted ones and others. At most one read, and a part
        of a record."""
        return self._received.held_bytes + self._incoming.pending + len(self._early)

    @property
    def has_received(self) -> bool:
        """Whether the peer has sent anything."""
        return self._has_received

    @property
    def has_unread(self) -> bool:
        return self._is_behind or self._has_something_to_give()

    def shake_hands(self, fd: int, /) -> bool:
        while not self._handshake_is_over():
            self._flush_if_possible(fd)
            if not self._receive(fd):
                return False
        self._flush_if_possible(fd)
        self.tls = TlsInfo.of(self._object)
        # TLS takes whole records, so the rest begins with one.
        self._received.add(self._incoming.read())
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
        if self._has_something_to_give():
            return self._give_unread(buffer)
        if not self._is_behind and not self._read_records(fd, max_bytes):
            return 0
        count = self._decrypt_into(buffer)
        if self.unsent_bytes > MAX_UNSENT_BYTES:
            raise flooded_error(MAX_UNSENT_BYTES)
        if count:
            return count
        if self._has_something_to_give():
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
        try:
            self.take_first_bytes(data)
        except RpcError:
            if self._is_server:
                # So a client that speaks no TLS can tell that this is TLS.
                with contextlib.suppress(OSError):
                    os.write(fd, PROTOCOL_VERSION_ALERT)
            raise
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
                if plain:
                    self._ciphertext.append(self._outgoing.read())
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
            self._received.add(os.read(fd, HANDSHAKE_READ_BYTES))
            self._decrypt_into(IOBuf())
        except RpcError as alert:
            return alert
        except OSError:
            return error
        return self._failure or error

    # --- reading ---

    def _read_records(self, fd: int, max_bytes: int) -> bool:
        """Read once from the descriptor. False at the end."""
        data = os.read(fd, min(max_bytes, WINDOW_BYTES))
        if data:
            self._received.add(data)
        elif not self._is_ended:
            raise cut_off_error()
        return bool(data)

    def _decrypt_into(self, buffer: IOBuf) -> int:
        """Decrypt the complete records, as many as a step may; return how many bytes they held.

        If an end or an error follows them, it is kept for the next read.
        """
        parts: list[bytes] = []
        try:
            self._decrypt_step(parts)
        except ssl.SSLZeroReturnError:
            self._is_ended = True
        except (ssl.SSLError, RpcError) as error:
            failure = self._fail(error)
            if not parts:
                raise failure from error
            self._failure = failure
        if not parts:
            return 0
        return buffer.append_received(parts[0] if len(parts) == 1 else b"".join(parts))

    def _decrypt_step(self, parts: list[bytes]) -> None:
        """Decrypt until no complete record is left, or STEP_S is over."""
        self._is_behind = False
        stops_at = time.monotonic() + STEP_S
        while not self._is_ended:
            records, count = self._received.take_group()
            if not count:
                return
            self._incoming.write(records)
            before = len(parts)
            self._decrypt_all(parts)
            if len(parts) > before:
                self._silent_records = 0
            else:
                self._silent_records += count
                if self._silent_records > MAX_SILENT_RECORDS:
                    raise control_flood_error(MAX_SILENT_RECORDS)
            if time.monotonic() >= stops_at:
                self._is_behind = len(self._received) > 0
                return

    def _decrypt_all(self, parts: list[bytes]) -> None:
        """Decrypt what TLS was given."""
        tls, incoming = self._object, self._incoming
        try:
            while incoming.pending or tls.pending():
                part = tls.read(RECORD_BYTES)
                if not part:
                    self._is_ended = True
                    return
                parts.append(part)
        except ssl.SSLWantReadError:
            return

    def _has_something_to_give(self) -> bool:
        """Whether there is something to return before more is decrypted."""
        if self._early or self._is_behind:
            return bool(self._early)
        return self._failure is not None or (self._is_ended and not self._is_end_reported)

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

    def _fail(self, error: ssl.SSLError | RpcError) -> RpcError:
        """Note that the TLS object must not be used any more."""
        self._is_broken = True
        return tls_error(error) if isinstance(error, ssl.SSLError) else error

    def __repr__(self) -> str:
        side = "server" if self._is_server else "client"
        if self.tls is None:
            return f"<TlsLayer of a {side}, shaking hands>"
        return f"<TlsLayer of a {side}, {self.tls.version}, {self.tls.cipher}>"
