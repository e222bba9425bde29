"""Keys that are no identifiers, as names of fields."""

from __future__ import annotations

import pytest

from pybrpc.json2pb.names import decode_name, encode_name


@pytest.mark.parametrize("key", ["a-b", "1a", "a1", "\u4f60\u597d", "*", "", "_", "a b.c/d", "_Z"])
def test_name_of_a_key_is_an_identifier_and_is_decoded(key: str) -> None:
    name = encode_name(key)
    assert decode_name(name) == key
    assert name.isidentifier() or not key


@pytest.mark.parametrize(
    "name", ["_Z999_", "_Z256_", "_Z12_", "_Z1234_", "_z042_", "a_Z195_", "Z042_"]
)
def test_what_is_no_escape_is_left(name: str) -> None:
    assert decode_name(name) == name
