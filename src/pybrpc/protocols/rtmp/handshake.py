"""The handshake at the beginning of an RTMP connection, as bytes in and bytes out.

    client              server
    C0 C1    -------->
             <--------  S0 S1 S2
    C2       -------->

C0 and S0 are the byte 3. The other blocks have 1536 bytes: C1 and S1 are a time, a version and
random bytes; C2 and S2 repeat the block of the peer (RTMP 1.0, 5.2). That is the simple handshake.
With a version other than 0, a C1 may have a digest among the random bytes, and then S1, S2 and C2
have one too (src/brpc/policy/rtmp_protocol.cpp):

- A digest is an HMAC-SHA256 of the other 1504 bytes of its block. C1 has the key of players, S1
  that of servers, each without its last 32 bytes.
- Its place is the sum of four bytes, modulo 728, behind these. They begin the second (schema 0) or
  the first (schema 1) of the two halves of a block. The other half has a key for Diffie-Hellman,
  which is used by encrypted variants alone: here it is random.
- The digest of S2 and C2 is at their end; its key is the HMAC of the peer's digest, with the whole
  key of the sender.

Servers without the digest are refused by the Flash Player only; ffmpeg, librtmp and gstreamer take
a simple answer. No side checks C2 and S2: C++ bRPC and nginx don't, and some peers send none that
would pass.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import hmac
import itertools
import os
import struct

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import Broken

VERSION = 3
BLOCK_SIZE = 1536
CLIENT_VERSION = 0x80000702
SERVER_VERSION = 0x01000504

_DIGEST_SIZE = 32
_PLACES = 728
"""Places that a digest can begin at, in a half of 764 bytes: 764 - 4 - 32."""

_HALVES = 8, 772
"""The indexes in a block of the four bytes that tell the place of the digest, if they begin the
first half (schema 1), and the second one (schema 0)."""

_KEY_TAIL = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_PLAYER = b"Genuine Adobe Flash Player 001"
_SERVER = b"Genuine Adobe Flash Media Server 001"
_HEAD = struct.Struct(">II")


class _Wait(enum.Enum):
    """The block that is awaited."""

    FIRST = "C0 and C1, or S0 and S1"
    SECOND = "C2 or S2"
    NOTHING = "nothing"


class _Handshake:
    """The part that both sides share. For one thread at a time; does no I/O.

    `is_done` once all blocks of the peer were received; `has_digest` if the peer's first one has a
    digest. `broken` if its first byte is no version of RTMP, or that of an encrypted one.
    """

    __slots__ = ("_wait", "broken", "has_digest", "peer_version")

    def __init__(self) -> None:
        self._wait = _Wait.FIRST
        self.broken: Broken | None = None
        self.has_digest = False
        self.peer_version = 0

    @property
    def is_done(self) -> bool:
        return self._wait is _Wait.NOTHING

    @property
    def bytes_wanted(self) -> int:
        """The size of the next block, in bytes; it is taken when it is whole."""
        return {_Wait.FIRST: 1 + BLOCK_SIZE, _Wait.SECOND: BLOCK_SIZE}.get(self._wait, 0)

    def receive(self, buffer: IOBuf) -> bytes:
        """Take whole blocks off `buffer`; return the bytes to send, often none.

        The bytes behind the last block stay in `buffer`. No bytes make it raise.
        """
        answer = b""
        if self._wait is _Wait.FIRST and buffer and (first := buffer.peek(1)[0]) != VERSION:
            self.broken = Broken(f"RTMP: the first byte is {first}, not {VERSION}")
        if self.broken is not None:
            buffer.clear()
            return answer
        if self._wait is _Wait.FIRST and len(buffer) > BLOCK_SIZE:
            buffer.pop_front(1)
            block = bytes(buffer.cut_contiguous(BLOCK_SIZE))
            self.peer_version = _HEAD.unpack_from(block)[1]
            answer = self._answer(block)
            self._wait = _Wait.SECOND
        if self._wait is _Wait.SECOND and len(buffer) >= BLOCK_SIZE:
            buffer.pop_front(BLOCK_SIZE)
            self._wait = _Wait.NOTHING
        return answer

    def _answer(self, block: bytes) -> bytes:
        raise NotImplementedError

    def __repr__(self) -> str:
        state = "broken" if self.broken is not None else f"waits for {self._wait.value}"
        return f"<{type(self).__name__} {state}>"


class HandshakeServer(_Handshake):
    """The server's side. It answers a C1 with a digest by blocks with a digest, others simply."""

    __slots__ = ()

    def _answer(self, block: bytes) -> bytes:
        found = _find_digest(block, _PLAYER) if self.peer_version else None
        if found is None:
            return bytes((VERSION,)) + _random_block(0) + block
        self.has_digest = True
        half, digest = found
        first, _ = _sign_first(_random_block(SERVER_VERSION), _SERVER, half)
        return bytes((VERSION,)) + first + _second_block(digest, _SERVER)


class HandshakeClient(_Handshake):
    """The client's side. `start` returns the bytes to send first. Without `uses_digest` it is
    simple, as the clients of C++ bRPC are unless they are configured otherwise."""

    __slots__ = ("_half",)

    def __init__(self, uses_digest: bool = False, schema: int = 0) -> None:
        """ValueError for a schema that is neither 0 nor 1."""
        super().__init__()
        if schema not in (0, 1):
            raise ValueError(f"the schema of a digest is 0 or 1, not {schema}")
        self._half = _HALVES[1 - schema] if uses_digest else None

    def start(self) -> bytes:
        """C0 and C1, to be sent once."""
        block = _random_block(0 if self._half is None else CLIENT_VERSION)
        if self._half is not None:
            block, _ = _sign_first(block, _PLAYER, self._half)
        return bytes((VERSION,)) + block

    def _answer(self, block: bytes) -> bytes:
        found = _find_digest(block, _SERVER) if self._half is not None else None
        if found is None:
            return block
        self.has_digest = True
        return _second_block(found[1], _PLAYER)


def _find_digest(block: bytes, name: bytes) -> tuple[int, bytes] | None:
    """The half that tells the place of the digest, and the digest; `None` if none is right."""
    for half in reversed(_HALVES):
        at = _digest_index(block, half)
        digest = block[at : at + _DIGEST_SIZE]
        if hmac.compare_digest(digest, _digest_of(block, name, at)):
            return half, digest
    return None


def _sign_first(block: bytes, name: bytes, half: int) -> tuple[bytes, bytes]:
    """A C1 or S1 with its digest, and the digest."""
    at = _digest_index(block, half)
    digest = _digest_of(block, name, at)
    return block[:at] + digest + block[at + _DIGEST_SIZE :], digest


def _digest_index(block: bytes, half: int) -> int:
    return half + 4 + sum(block[half : half + 4]) % _PLACES


def _digest_of(block: bytes, name: bytes, at: int) -> bytes:
    return _hmac(name, block[:at] + block[at + _DIGEST_SIZE :])


def _second_block(peer_digest: bytes, name: bytes) -> bytes:
    block = _random(BLOCK_SIZE - _DIGEST_SIZE)
    return block + _hmac(_hmac(name + _KEY_TAIL, peer_digest), block)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _random_block(version: int) -> bytes:
    """A C1 or S1, at the time 0: peers that use the time only compare it."""
    return _HEAD.pack(0, version) + _random(BLOCK_SIZE - _HEAD.size)


_counter = itertools.count()


@functools.cache
def _seed() -> bytes:
    return os.urandom(32)


def _random(size_bytes: int) -> bytes:
    """Bytes that no peer can foresee. A child process that was forked repeats those of its parent:
    the blocks have to differ, and nothing is kept secret by them."""
    return hashlib.shake_128(_seed() + next(_counter).to_bytes(8, "big")).digest(size_bytes)
