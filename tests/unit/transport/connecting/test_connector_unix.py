"""Connector to Unix sockets."""

from __future__ import annotations

import errno
import socket as plain
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.connecting.connect_race import BUSY_PAUSE_S
from tests.fakes.connects import Attempt


@pytest.fixture
def unix_listener(unix_path: Path) -> Iterator[plain.socket]:
    with plain.socket(plain.AF_UNIX) as listening:
        listening.bind(str(unix_path))
        listening.listen(0)
        yield listening


def test_connect_to_a_unix_socket(step: StepDispatcher, unix_listener: plain.socket) -> None:
    endpoint = Endpoint.from_sockaddr(unix_listener.getsockname())
    attempt = Attempt(endpoint, step)
    step.run_until_idle()
    assert attempt.peers == [endpoint.path]


def test_unix_socket_without_a_server(step: StepDispatcher, unix_path: Path) -> None:
    endpoint = Endpoint.parse(f"unix:{unix_path}")
    attempt = Attempt(endpoint, step)
    attempt.run()
    assert attempt.error.code == errno.ENOENT
    assert attempt.error.text == f"Fail to connect {endpoint}: No such file or directory"
    with plain.socket(plain.AF_UNIX) as dead:
        dead.bind(str(unix_path))
    attempt = Attempt(endpoint, step)
    attempt.run()
    assert attempt.error.code == errno.ECONNREFUSED


def test_unix_socket_without_a_path(step: StepDispatcher) -> None:
    attempt = Attempt(Endpoint("unix:", 0), step)
    attempt.run()
    assert "without a path" in attempt.error.text


def test_unix_server_with_a_full_backlog_is_tried_again(
    step: StepDispatcher, unix_listener: plain.socket
) -> None:
    """connect() of a Unix socket fails with EAGAIN then, and no event comes once there is room."""
    endpoint = Endpoint.from_sockaddr(unix_listener.getsockname())
    with plain.socket(plain.AF_UNIX) as filler:
        filler.connect(endpoint.path)
        attempt = Attempt(endpoint, step, step.clock.monotonic() + 1)
        for _ in range(20):
            step.advance(BUSY_PAUSE_S)
        assert not attempt.over.is_set()
        unix_listener.accept()[0].close()
        step.advance(BUSY_PAUSE_S)
        assert attempt.peers == [endpoint.path]


def test_unix_server_that_stays_busy_meets_the_deadline(
    step: StepDispatcher, unix_listener: plain.socket
) -> None:
    endpoint = Endpoint.from_sockaddr(unix_listener.getsockname())
    with plain.socket(plain.AF_UNIX) as filler:
        filler.connect(endpoint.path)
        attempt = Attempt(endpoint, step, step.clock.monotonic() + 1)
        step.advance(0.5)
        step.advance(0.6)
    assert attempt.error.code == errno.ETIMEDOUT
