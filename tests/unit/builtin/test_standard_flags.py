"""standard_flags: flags of the library itself have their effect."""

from __future__ import annotations

import pytest

from pybrpc.builtin.standard_flags import MAX_QUEUED
from pybrpc.transport.runtime import default_runtime


def test_max_queued_bytes_is_that_of_the_runtime() -> None:
    before = default_runtime().max_queued_bytes
    try:
        MAX_QUEUED.set(1 << 20)
        assert default_runtime().max_queued_bytes == 1 << 20
        MAX_QUEUED.set(0)
        assert default_runtime().max_queued_bytes is None
        with pytest.raises(ValueError, match="0 or more"):
            MAX_QUEUED.set(-1)
    finally:
        MAX_QUEUED.set(MAX_QUEUED.default)
        default_runtime().max_queued_bytes = before
