"""Connector over TCP: the addresses of a name, its deadline, and all the ways it fails."""

from __future__ import annotations

import contextlib
import errno
import os
import socket as plain
import types
from collections.abc import Iterator

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.connecting import connector as connector_module
from pybrpc.transport.connecting.connect_race import ATTEMPT_DELAY_S
from pybrpc.transport.connecting.resolver import Address
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.connects import Attempt
from tests.fakes.sockets import MakeStep, unused_endpoint
from tests.peers.scripted_server import deaf_port


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


@pytest.fixture
def deaf() -> Iterator[Address]:
    """An address on which nothing answers, neither yes nor no: its backlog is full."""
    with deaf_port() as address:
        yield address_of(Endpoint.parse(address))


def address_of(endpoint: Endpoint) -> Address:
    return plain.AF_INET, (endpoint.host, endpoint.port)


def listening_on(listener: plain.socket) -> Address:
    return plain.AF_INET, listener.getsockname()


def descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))


UNREACHABLE: Address = plain.AF_INET, ("127.255.255.255", 80)
"""A broadcast address: the kernel refuses at once, without a packet."""


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
    resolves_to += [address_of(unused_endpoint()), UNREACHABLE, listening_on(listener)]
    attempt = Attempt(Endpoint("a-name", 80), step)
    while not attempt.over.is_set():
        step.run_until_idle()
    assert attempt.peers == [listener.getsockname()]


def test_error_after_the_last_address_names_all_errors(
    step: StepDispatcher, resolves_to: list[Address]
) -> None:
    closed = unused_endpoint()
    resolves_to += [(plain.AF_INET6, ("::1", closed.port, 0, 0)), UNREACHABLE, address_of(closed)]
    attempt = Attempt(Endpoint("a-name", 80), step)
    attempt.run()
    assert (attempt.error.code, attempt.error.peer) == (errno.ECONNREFUSED, "a-name:80")
    assert attempt.error.text.startswith("Fail to connect a-name:80 at [::1]:")
    assert attempt.error.text.endswith(": Connection refused")
    for address in (f"[::1]:{closed.port}", str(closed)):
        assert f"{address} (Connection refused)" in attempt.error.text
    assert "127.255.255.255:80 (" in attempt.error.text


def test_error_names_the_only_address_of_a_name(
    step: StepDispatcher, resolves_to: list[Address]
) -> None:
    closed = unused_endpoint()
    resolves_to += [address_of(closed)]
    attempt = Attempt(Endpoint("a-name", 80), step)
    attempt.run()
    assert attempt.error.text == f"Fail to connect a-name:80 at {closed}: Connection refused"


def test_error_names_an_ip_address_once(step: StepDispatcher) -> None:
    closed = unused_endpoint()
    attempt = Attempt(closed, step)
    attempt.run()
    assert attempt.error.text == f"Fail to connect {closed}: Connection refused"


def test_a_silent_address_costs_a_quarter_of_a_second(
    step: StepDispatcher, listener: plain.socket, resolves_to: list[Address], deaf: Address
) -> None:
    before = descriptors()
    resolves_to += [deaf, listening_on(listener)]
    attempt = Attempt(Endpoint("a-name", 80), step)
    step.run_until_idle()
    step.advance(ATTEMPT_DELAY_S - 0.01)
    assert not attempt.over.is_set()
    step.advance(0.02)
    while not attempt.over.is_set():
        step.run_until_idle()
    assert len(descriptors() - before) == 1, "the loser is closed at once"
    assert attempt.peers == [listener.getsockname()]


def test_earlier_attempt_wins_when_it_is_first(
    step: StepDispatcher, resolves_to: list[Address], deaf: Address
) -> None:
    """The slow first address is answered after the second one was tried, which stays silent."""
    with plain.socket() as slow, deaf_port() as other:
        slow.bind(("127.0.0.1", 0))
        slow.listen(0)
        with contextlib.ExitStack() as fillers:
            for _ in range(2):
                filler = fillers.enter_context(plain.socket())
                filler.setblocking(False)
                filler.connect_ex(slow.getsockname())
            resolves_to += [listening_on(slow), address_of(Endpoint.parse(other)), deaf]
            attempt = Attempt(Endpoint("a-name", 80), step)
            step.run_until_idle()
            step.advance(ATTEMPT_DELAY_S)
            assert not attempt.over.is_set()
            for _ in range(2):
                slow.accept()[0].close()
            while not attempt.over.is_set():  # until the kernel repeats its SYN
                step.run_until_idle()
            assert attempt.peers == [slow.getsockname()]
            assert attempt.failed == []


def test_all_addresses_share_one_deadline(
    step: StepDispatcher, resolves_to: list[Address], deaf: Address
) -> None:
    before = descriptors()
    refusing = address_of(unused_endpoint())
    resolves_to += [deaf, refusing, (plain.AF_INET, ("127.0.0.2", deaf[1][1]))]
    attempt = Attempt(Endpoint("a-name", 80), step, step.clock.monotonic() + 0.3)
    step.run_until_idle()
    step.advance(0.29)
    assert not attempt.over.is_set()
    step.advance(0.02)
    assert attempt.error.code == errno.ETIMEDOUT
    assert attempt.error.text.startswith("Fail to connect a-name:80 within connect_timeout, at ")
    assert f"127.0.0.1:{deaf[1][1]} (no answer)" in attempt.error.text
    assert descriptors() == before


@pytest.mark.parametrize("seed", range(30))
def test_connector_ends_once_in_any_order_of_events(
    make_step: MakeStep,
    listener: plain.socket,
    resolves_to: list[Address],
    deaf: Address,
    seed: int,
) -> None:
    step = make_step(seed)
    before = descriptors()
    refusing = address_of(unused_endpoint())
    resolves_to += [deaf, refusing, UNREACHABLE, listening_on(listener), listening_on(listener)]
    resolves_to += [(plain.AF_INET, ("127.0.0.2", listener.getsockname()[1]))]
    attempt = Attempt(Endpoint("a-name", 80), step, step.clock.monotonic() + 1000)
    while not attempt.over.is_set():
        step.advance(0.05)
    step.advance(2000)
    assert len(attempt.peers) == 1
    assert attempt.failed == []
    assert descriptors() == before


def test_a_name_without_addresses_fails(step: StepDispatcher, resolves_to: list[Address]) -> None:
    attempt = Attempt(Endpoint("a-name", 80), step)
    attempt.run()
    assert (attempt.error.code, attempt.error.phase) == (errno.EADDRNOTAVAIL, "connect")


def test_deadline_covers_resolving(step: StepDispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_cancel_calls_nobody_at_any_step(
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
    attempt.close()


@pytest.mark.parametrize("waits_s", [0.0, ATTEMPT_DELAY_S, 2 * ATTEMPT_DELAY_S])
@pytest.mark.parametrize("ends", ["cancel", "abandon"])
def test_all_open_attempts_are_closed_however_many(
    step: StepDispatcher, resolves_to: list[Address], ends: str, waits_s: float
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            deaf = stack.enter_context(deaf_port())
            resolves_to.append(address_of(Endpoint.parse(deaf)))
        before = descriptors()
        attempt = Attempt(Endpoint("a-name", 80), step)
        step.run_until_idle()
        step.advance(min(waits_s, ATTEMPT_DELAY_S))
        step.advance(max(0.0, waits_s - ATTEMPT_DELAY_S))
        assert len(descriptors() - before) == 1 + waits_s / ATTEMPT_DELAY_S
        if ends == "cancel":
            assert attempt.connector.cancel()
            assert not step.is_watching
        else:
            attempt.connector.abandon()
            forget_all(step)
        assert descriptors() == before
        step.advance(10_000)
    assert (attempt.connected, attempt.failed) == ([], [])


def forget_all(step: StepDispatcher) -> None:
    """A fork abandons the connector: the child's dispatcher watches no descriptor of the parent."""
    step._writers.clear()


def test_event_of_an_earlier_descriptor_with_the_same_number_is_ignored(
    step: StepDispatcher, deaf: Address
) -> None:
    """In one turn a descriptor may be closed, and its number given to an attempt."""
    attempt = Attempt(Endpoint(*deaf[1]), step)
    step.run_until_idle()
    ((_, on_writable),) = step._writers.items()
    on_writable()
    assert not attempt.over.is_set()
    assert attempt.connector.cancel()
    on_writable()
    assert (attempt.connected, attempt.failed) == ([], [])


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
        assert not connector_module._connected_to_itself(unconnected)


def test_connect_fails_when_no_descriptor_is_left(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor(family: int, kind: int) -> plain.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(connector_module._socket, "socket", no_descriptor)
    attempt = Attempt(Endpoint("127.0.0.1", 80), step)
    attempt.run()
    assert attempt.failed[0].code == errno.EMFILE


def test_connect_fails_when_no_thread_can_be_started_to_resolve(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(endpoint: Endpoint, on_done: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(connector_module, "resolve_in_background", no_thread)
    attempt = Attempt(Endpoint("a-name", 80), step)
    attempt.run()
    assert "can't start new thread" in attempt.failed[0].text


class OddError(BaseException):
    """No Exception, and without a text."""

    def __repr__(self) -> str:
        raise OddError


@pytest.mark.parametrize("raised", [LookupError("no idna"), SystemExit("odd"), OddError()])
@pytest.mark.parametrize("place", ["look-up", "look-up elsewhere", "socket", "connect", "event"])
def test_connect_fails_at_once_with_whatever_a_step_raises(
    step: StepDispatcher,
    resolves_to: list[Address],
    deaf: Address,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    place: str,
) -> None:
    before = descriptors()
    resolves_to += [deaf, deaf]

    def fail(*_: object, **__: object) -> None:
        raise raised

    if place == "look-up":
        monkeypatch.setattr(connector_module, "resolve_in_background", fail)
    elif place == "look-up elsewhere":
        monkeypatch.setattr(
            connector_module, "resolve_in_background", lambda endpoint, done: done(raised)
        )
    elif place == "socket":
        monkeypatch.setattr(connector_module._socket, "socket", fail)
    elif place == "connect":
        monkeypatch.setattr(SocketOptions, "apply_to", fail)
    else:
        monkeypatch.setattr(connector_module, "_outcome_of", fail)
    attempt = Attempt(Endpoint("a-name", 80), step)
    step.run_until_idle()
    if place == "event":
        ((_, on_writable),) = step._writers.items()
        on_writable()
    (error,) = attempt.failed
    assert error.phase == ("resolve" if "look-up" in place else "connect")
    assert isinstance(error, ConnectionError)
    assert (type(raised).__name__ if type(raised) is OddError else repr(raised)) in error.text
    assert (descriptors(), step.is_watching) == (before, False)


def test_connector_that_ends_waits_for_no_look_up(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[str] = []

    class Waiter:
        def cancel(self) -> None:
            cancelled.append("cancelled")

    monkeypatch.setattr(connector_module, "resolve_in_background", lambda *_: Waiter())
    attempt = Attempt(Endpoint("a-name", 80), step)
    step.run_until_idle()
    attempt.connector.expire()
    assert cancelled == ["cancelled"]


@pytest.mark.parametrize("is_listening", [True, False])
def test_connect_works_without_poll(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch, is_listening: bool
) -> None:
    """eventlet takes `select.poll` away."""
    monkeypatch.setattr(connector_module, "select", types.SimpleNamespace())
    with plain.socket() as slow:
        slow.bind(("127.0.0.1", 0))
        attempt = Attempt(Endpoint.from_sockaddr(slow.getsockname()), step)
        if is_listening:
            slow.listen()
        attempt.run()
    assert (len(attempt.connected), len(attempt.failed)) == (is_listening, not is_listening)


def test_undecided_connect_is_known_without_poll(
    step: StepDispatcher, deaf: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector_module, "select", types.SimpleNamespace())
    attempt = Attempt(Endpoint(*deaf[1]), step)
    step.run_until_idle()
    ((_, on_writable),) = step._writers.items()
    on_writable()
    assert not attempt.over.is_set()
    attempt.connector.cancel()


def test_connect_over_a_missing_interface_fails(step: StepDispatcher) -> None:
    attempt = Attempt(Endpoint("fe80::1%no-such-if", 80), step)
    attempt.run()
    assert (attempt.error.code, attempt.error.phase) == (errno.EHOSTUNREACH, "resolve")
