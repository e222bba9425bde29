"""Fixtures for the tests of lifecycle/."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pybrpc
from tests.fakes.server_hooks import AsyncService, Log
from tests.peers.echo import ECHO


@pytest.fixture
def log() -> Log:
    """Notes the calls of the functions that it makes."""
    return Log()


@pytest.fixture
def server(log: Log) -> Iterator[pybrpc.Server]:
    """Has an async handler that notes its calls in `log`."""
    with pybrpc.Server() as made:
        made.add_service(ECHO, AsyncService(log))
        yield made
