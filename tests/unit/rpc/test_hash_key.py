"""Which keys a call may have, and which 64 bits they become."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pybrpc.rpc.hash_key import checked_hash_key, mixed


@pytest.mark.parametrize("code", [0, 1, 12345, 2**32 - 1])
def test_request_code_is_used_as_it_is(code: int) -> None:
    assert checked_hash_key(code) == code


def test_keys_that_are_hashed_are_the_same_in_every_process() -> None:
    assert checked_hash_key("user-1") == 0x88E1EA21865AAC9A
    assert checked_hash_key(b"user-1") == checked_hash_key("user-1")
    assert checked_hash_key(bytearray(b"user-1")) == checked_hash_key("user-1")
    assert checked_hash_key("\u00fcser") == checked_hash_key("\u00fcser".encode())
    assert checked_hash_key("\ud800") != checked_hash_key("")
    assert checked_hash_key(2**32) == mixed(2**32)


def test_upper_half_of_large_numbers_that_follow_each_other_is_spread() -> None:
    upper = Counter(checked_hash_key(2**32 + index) >> 61 for index in range(8000))
    assert upper.keys() == set(range(8))
    assert all(800 < count < 1200 for count in upper.values())


@pytest.mark.parametrize("value", [-1, 2**64])
def test_number_of_more_than_64_bits_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 2\\*\\*64 - 1"):
        checked_hash_key(value)


@pytest.mark.parametrize("value", [None, 1.5, True, ("a",)])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="a number, a string or bytes"):
        checked_hash_key(value)
