from __future__ import annotations

import errno
import socket as plain
import threading
from collections.abc import Iterator

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import RpcError
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport import connector as connector_module
from pybrpc.transport.connector import Connector
from pybrpc.transport.resolver import Address, resolve_in_background
from pybrpc.transport.socket_options import SocketOptions
from tests.unit.transport.conftest import MakeStep
from tests.unit.transport.tools import WAIT_S, unused_endpoint


class Attempt:
    """A Connector, and what it ended in."""

    def __init__(self, endpoint: Endpoint, step: StepDispatcher, deadline: float = NEVER) -> None:
        self.connected: list[plain.socket] = []
        self.failed: list[RpcError] = []
        self.over = threading.Event()
        self.step = step
        self.connector = Connector(
            endpoint,
            SocketOptions(),
            step,
            deadline,
            lambda sock: (self.connected.append(sock), self.over.set()),
            lambda error: (self.failed.append(error), self.over.set()),
        )
        self.connector.start()

    def run(self) -> None:
        while not self.over.is_set():
            self.step.run_until_idle()
        for sock in self.connected:
            sock.close()


@pytest.fixture
def listener() -> Iterator[plain.socket]:
    with plain.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def resolves_to(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """The addresses that every name has."""
    addresses: list[Address] = []

    def resolve(endpoint: Endpoint, on_done: object) -> None:
        on_done(list(addresses))  # type: ignore[operator]

    monkeypatch.setattr(connector_module, "resolve_in_background", resolve)
    return addresses


def address_of(endpoint: Endpoint) -> Address:
    return plain.AF_INET, (endpoint.host, endpoint.port)


def test_connects_in_the_turns_of_the_dispatcher(
    step: StepDispatcher, listener: plain.socket
) -> None:
    attempt = Attempt(Endpoint.from_sockaddr(listener.getsockname()), step)
    assert step.steps == 0
    attempt.run()
    assert len(attempt.connected) == 1
    assert attempt.failed == []


def test_tries_the_next_address_of_a_name(
    step: StepDispatcher, listener: plain.socket, resolves_to: list[Address]
) -> None:
    live = Endpoint.from_sockaddr(listener.getsockname())
    resolves_to += [
        address_of(unused_endpoint()),
        (plain.AF_INET, ("255.255.255.255", 80)),
        address_of(live),
    ]
    attempt = Attempt(Endpoint("a-name", live.port), step)
    attempt.run()
    assert len(attempt.connected) == 1


def test_after_the_last_address_the_last_error_is_told(
    step: StepDispatcher, resolves_to: list[Address]
) -> None:
    resolves_to += [(plain.AF_INET, ("255.255.255.255", 80)), address_of(unused_endpoint())]
    attempt = Attempt(Endpoint("a-name", 80), step)
    attempt.run()
    (error,) = attempt.failed
    assert (error.code, error.peer) == (errno.ECONNREFUSED, "a-name:80")


def test_a_name_without_addresses_fails(step: StepDispatcher, resolves_to: list[Address]) -> None:
    attempt = Attempt(Endpoint("a-name", 80), step)
    attempt.run()
    assert "the name has no address" in attempt.failed[0].text or attempt.failed[0].code


def test_the_deadline_covers_resolving(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[object] = []
    monkeypatch.setattr(
        connector_module, "resolve_in_background", lambda endpoint, done: answers.append(done)
    )
    attempt = Attempt(Endpoint("a-name", 80), step, step.clock.monotonic() + 1)
    step.run_until_idle()
    step.advance(0.5)
    assert attempt.failed == []
    step.advance(0.5)
    (error,) = attempt.failed
    assert (error.code, error.phase) == (errno.ETIMEDOUT, "resolve")
    answers[0]([address_of(unused_endpoint())])  # type: ignore[operator]
    step.run_until_idle()
    assert (len(attempt.failed), attempt.connected) == (1, [])


@pytest.mark.parametrize("steps", range(4))
def test_cancel_ends_it_in_silence_at_any_step(
    make_step: MakeStep, listener: plain.socket, steps: int
) -> None:
    step = make_step()
    attempt = Attempt(Endpoint.from_sockaddr(listener.getsockname()), step, 5000.0)
    for _ in range(steps):
        step.step()
    was_running = attempt.connector.cancel()
    assert not attempt.connector.cancel()
    step.advance(10_000)
    assert was_running == (not attempt.connected)
    assert attempt.failed == []
    for sock in attempt.connected:
        sock.close()


def test_a_connection_to_itself_is_refused(
    step: StepDispatcher, listener: plain.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may pick the very port that is connected to: TCP then meets itself."""
    monkeypatch.setattr(connector_module, "_connected_to_itself", lambda sock: True)
    attempt = Attempt(Endpoint.from_sockaddr(listener.getsockname()), step)
    attempt.run()
    assert attempt.failed[0].code == errno.ECONNREFUSED


def test_connected_to_itself_knows_such_a_socket(listener: plain.socket) -> None:
    with plain.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.connect(own.getsockname())
        assert connector_module._connected_to_itself(own)
    with plain.create_connection(listener.getsockname()) as other:
        assert not connector_module._connected_to_itself(other)
    with plain.socket() as unconnected:
        assert connector_module._connected_to_itself(unconnected)


def test_no_descriptor_left_is_told(step: StepDispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor(family: int, kind: int) -> plain.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(connector_module._socket, "socket", no_descriptor)
    attempt = Attempt(Endpoint("127.0.0.1", 80), step)
    attempt.run()
    assert attempt.failed[0].code == errno.EMFILE


def test_no_thread_to_resolve_in_is_told(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(endpoint: Endpoint, on_done: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(connector_module, "resolve_in_background", no_thread)
    attempt = Attempt(Endpoint("a-name", 80), step)
    attempt.run()
    assert "can't start new thread" in attempt.failed[0].text


@pytest.mark.parametrize(
    ("host", "is_found"), [("localhost", True), ("no-such-host.invalid", False), ("a..b", False)]
)
def test_resolving_ends_in_addresses_or_an_error(host: str, is_found: bool) -> None:
    results: list[object] = []
    over = threading.Event()
    resolve_in_background(Endpoint(host, 80), lambda r: (results.append(r), over.set()))
    assert over.wait(WAIT_S)
    assert isinstance(results[0], list) == is_found
    assert isinstance(results[0], OSError) != is_found
