"""Hash keys: what a call gives so that all calls with an equal one go to the same server."""

from __future__ import annotations

from typing import Self, overload

from pybrpc.base.lazy_modules import hashlib

MAX_KEY = 2**64 - 1
MAX_REQUEST_CODE = 2**32 - 1
"""The largest `request_code` of bRPC."""


def checked_hash_key(value: int | str | bytes) -> int:
    """The 64 bits that balancers use, the same ones in every process.

    A number up to MAX_REQUEST_CODE is bRPC's request code, and is used as it is; others are mixed,
    strings (as UTF-8) and bytes are hashed. ValueError for a number that is negative or has more
    than 64 bits; TypeError for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | bytes | bytearray):
        raise TypeError(f"hash_key must be a number, a string or bytes, not {value!r}")
    if isinstance(value, int):
        if not 0 <= value <= MAX_KEY:
            raise ValueError(f"hash_key must be a whole number from 0 to 2**64 - 1, not {value}")
        return value if value <= MAX_REQUEST_CODE else mixed(value)
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)
    return hash_64(data)


def hash_64(data: bytes) -> int:
    """BLAKE2b in 64 bits."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def mixed(value: int) -> int:
    """64 bits that all depend on all bits of `value`, for values that follow each other: the last
    step of the generator SplitMix64. No two values give the same result."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MAX_KEY
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MAX_KEY
    return value ^ value >> 31


class HashKeyOf:
    """The property `hash_key` of a controller: the key by which a hashing `load_balancer` picks the
    server. A number is bRPC's `request_code`; a str or bytes is hashed to one; `None`: no key."""

    __slots__ = ("_field",)

    def __init__(self, field: str) -> None:
        """`field`: the attribute that keeps it."""
        self._field = field

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> int | None: ...

    def __get__(self, instance: object, owner: type) -> Self | int | None:
        if instance is None:
            return self
        key: int | None = getattr(instance, self._field)
        return key

    def __set__(self, instance: object, hash_key: int | str | bytes | None) -> None:
        key = None if hash_key is None else checked_hash_key(hash_key)
        setattr(instance, self._field, key)
