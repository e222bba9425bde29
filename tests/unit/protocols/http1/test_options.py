"""ParserOptions are checked where they are made."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from pybrpc.protocols.http1.options import DEFAULT_OPTIONS, METHODS, ParserOptions

LIMITS = [field.name for field in fields(ParserOptions) if field.name.startswith("max_")]


def test_defaults() -> None:
    assert ParserOptions() == DEFAULT_OPTIONS
    assert DEFAULT_OPTIONS.max_header_bytes == 64 * 1024
    assert DEFAULT_OPTIONS.max_header_count == 100
    assert DEFAULT_OPTIONS.max_body_size == 64 * 1024 * 1024
    assert DEFAULT_OPTIONS.require_host
    assert not DEFAULT_OPTIONS.allow_chunked_length
    assert {"GET", "POST", "M-SEARCH"} <= METHODS


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_numbers_of_at_least_one(name: str) -> None:
    assert getattr(ParserOptions(**{name: 1}), name) == 1
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            ParserOptions(**{name: wrong})
    bad: list[Any] = ["1", 1.0, None, True]
    for value in bad:
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            ParserOptions(**{name: value})
