"""KeyUpdate messages of TLS 1.3, as many as wanted, which Python's `ssl` can't send.

Each asks the peer for a KeyUpdate in turn: the peer derives two keys and sends an answer, for a
record of 27 bytes. The function of OpenSSL that makes one is called with the `SSL *` inside
CPython's object, behind its head and a reference to its socket (`PySSLSocket` in Modules/_ssl.c).
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import struct

_UPDATE_REQUESTED = 1

GROUP = 40
LARGE_BYTES = 60_000_000
RECORD_BYTES = 27
"""A KeyUpdate message in its record."""


def key_updates(client: ssl.SSLObject, outgoing: ssl.MemoryBIO, count: int) -> bytes:
    """`count` KeyUpdate records of a connection whose handshake is over.

    `outgoing` is the BIO in which `client` puts what is to be sent. OSError if it refuses.
    """
    library, pointer = _library(), _pointer_of(client)
    for number in range(count):
        if library.SSL_key_update(pointer, _UPDATE_REQUESTED) != 1:
            raise OSError(f"OpenSSL makes no KeyUpdate after {number}")
        client.do_handshake()
    return outgoing.read()


def key_updates_among_data(client: ssl.SSLObject, outgoing: ssl.MemoryBIO, count: int) -> bytes:
    """`count` KeyUpdate records, with a byte of one large request after each `GROUP` of them.

    A server closes a connection on which nothing but such messages comes.
    """
    client.write(struct.pack("!4sII", b"PRPC", LARGE_BYTES, 0))
    parts = []
    for start in range(0, count, GROUP):
        parts.append(key_updates(client, outgoing, min(GROUP, count - start)))
        client.write(b"x")
    return b"".join(parts) + outgoing.read()


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_ssl.__file__)
    library.SSL_key_update.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.SSL_get_version.argtypes = (ctypes.c_void_p,)
    library.SSL_get_version.restype = ctypes.c_char_p
    return library


def _pointer_of(client: ssl.SSLObject) -> int:
    made = client._sslobj  # type: ignore[attr-defined]
    where = id(made) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    pointer = ctypes.c_void_p.from_address(where).value
    assert pointer is not None
    version = _library().SSL_get_version(pointer)
    assert version == b"TLSv1.3", f"not the place of the SSL: {version!r}"
    return pointer
