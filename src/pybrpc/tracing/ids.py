"""Ids of traces and spans: random numbers of 64 bits, and how they travel."""

from __future__ import annotations

import os
import random

COUNT_64 = 1 << 64
SIGN_64 = 1 << 63
MASK_64 = COUNT_64 - 1

# Its own, seeded by the system: `random.seed(...)` of the application must not repeat ids.
_random = random.Random()
_get_bits = _random.getrandbits


def new_id() -> int:
    """A random number of 64 bits that is not 0, which bRPC reads as "no id". Any thread."""
    return _get_bits(64) or 1


def as_unsigned(number: int) -> int:
    """An id as the meta of a request carries it, which is signed, as a number of 64 bits."""
    return number & MASK_64


def as_signed(number: int) -> int:
    """An id of 64 bits as the meta of a request carries it."""
    return number - COUNT_64 if number >= SIGN_64 else number


def hex_id(number: int) -> str:
    """An id as bRPC shows it: hexadecimal, without leading zeros."""
    return f"{number:x}"


os.register_at_fork(after_in_child=_random.seed)
