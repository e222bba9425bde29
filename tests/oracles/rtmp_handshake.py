"""The digests of RTMP's handshake, checked independently of pybrpc.

The specification of RTMP 1.0 has no digests. Flash Player brought them, and servers and players
copy them: HMAC-SHA256, with keys that are known to all. A block of 1536 bytes has its digest at one
of two places, both of which depend on the block itself.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

BLOCK_SIZE, DIGEST_SIZE = 1536, 32
_SHARED = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
CLIENT_KEY, SERVER_KEY = b"Genuine Adobe Flash Player 001", b"Genuine Adobe Flash Media Server 001"
SCHEMAS = (772, 8)
"""Where the part with the digest begins. In schema 0 that with the key comes before it."""


class Digest(NamedTuple):
    schema: int
    offset: int
    value: bytes


def digest_of(block: bytes, is_server: bool) -> Digest | None:
    """The digest of a C1 or S1; None for a simple handshake."""
    assert len(block) == BLOCK_SIZE
    key = SERVER_KEY if is_server else CLIENT_KEY
    for schema, begin in enumerate(SCHEMAS):
        offset = begin + 4 + sum(block[begin : begin + 4]) % 728
        end = offset + DIGEST_SIZE
        if block[offset:end] == _hmac(key, block[:offset] + block[end:]):
            return Digest(schema, offset, block[offset:end])
    return None


def is_answer_to(digest: Digest, block: bytes, is_server: bool) -> bool:
    """Whether a C2 or S2 ends with the digest that answers that of the other side."""
    key = (SERVER_KEY if is_server else CLIENT_KEY) + _SHARED
    return block[-DIGEST_SIZE:] == _hmac(_hmac(key, digest.value), block[:-DIGEST_SIZE])


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
