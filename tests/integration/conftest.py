"""Fixtures for the tests over real connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.scripted_server import reserved_port


@pytest.fixture
def dead_address() -> Iterator[str]:
    """Nobody listens there, and somebody may."""
    with reserved_port() as address:
        yield address
