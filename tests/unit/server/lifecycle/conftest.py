"""Fixtures for the tests of lifecycle/."""

from __future__ import annotations

import pytest

from tests.fakes.server_hooks import Log


@pytest.fixture
def log() -> Log:
    """Notes the calls of the functions that it makes."""
    return Log()
