"""The Rpcz of the process, as new."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybrpc.tracing.process_rpcz import Rpcz
from tests.fakes.spans import fresh_rpcz


@pytest.fixture
def rpcz() -> Iterator[Rpcz]:
    """Switched on."""
    with fresh_rpcz() as made:
        yield made
