"""Ids: their range, their randomness, their form on the wire."""

from __future__ import annotations

import os
import random

import pytest

from pybrpc.tracing.ids import as_signed, as_unsigned, hex_id, new_id


def test_ids_have_64_bits_and_differ() -> None:
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(0 < number < 2**64 for number in made)
    assert max(made) > 2**62


def test_seed_of_the_application_does_not_repeat_ids() -> None:
    random.seed(1)
    first = new_id()
    random.seed(1)
    assert new_id() != first


@pytest.mark.parametrize("number", [1, 2**63 - 1, 2**63, 2**64 - 1])
def test_id_that_travels_signed_comes_back(number: int) -> None:
    assert -(2**63) <= as_signed(number) < 2**63
    assert as_unsigned(as_signed(number)) == number


def test_id_is_shown_hexadecimal() -> None:
    assert hex_id(0x0AB) == "ab"


def test_forked_child_makes_other_ids() -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.write(write_end, str(new_id()).encode())
        os._exit(0)
    os.close(write_end)
    of_child = int(os.read(read_end, 100))
    os.close(read_end)
    os.waitpid(child, 0)
    assert new_id() != of_child
