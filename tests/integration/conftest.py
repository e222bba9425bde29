"""Fixtures for the tests over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.tracing.process_rpcz import Rpcz
from tests.fakes.spans import fresh_rpcz
from tests.peers.asgi_apps import Mount, Mounted
from tests.peers.http_handlers import Serve, Served
from tests.peers.rtmp_programs import make_source
from tests.peers.scripted_server import reserved_port
from tests.peers.serving import starting


@pytest.fixture
def dead_address() -> Iterator[str]:
    """Nobody listens there, and somebody may."""
    with reserved_port() as address:
        yield address


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLV file to publish: H.264 and AAC, made by ffmpeg."""
    return make_source(tmp_path_factory.mktemp("source") / "source.flv")


@pytest.fixture
def rpcz() -> Iterator[Rpcz]:
    """The one of the process: on, and without spans."""
    with fresh_rpcz() as made:
        yield made


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers with one handler, which is called by HTTP."""
    with starting(Served) as start:
        yield start


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Starts servers with one application of ASGI."""
    with starting(Mounted) as start:
        yield start
