"""Fixtures for the tests of transport/: dispatchers of every kind, wires over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Unpack

import pytest

from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.connecting import connecting as connecting_module
from pybrpc.transport.connecting import connector as connector_module
from pybrpc.transport.dispatch import periodic as periodic_module
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket import graceful_close as graceful_close_module
from pybrpc.transport.socket.setup import SocketSetup
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing import slow_peers as slow_peers_module
from pybrpc.transport.writing import writable_wait as writable_wait_module
from pybrpc.transport.writing import writer as writer_module
from tests.fakes.dispatchers import running_dispatcher
from tests.fakes.sockets import MakeStep, MakeWire, Wire, make_pair


@pytest.fixture(params=["epoll", "asyncio", "uvloop"])
def dispatcher(request: pytest.FixtureRequest) -> Iterator[EventDispatcher]:
    """Every kind of dispatcher, running in a thread."""
    with running_dispatcher(request.param) as running:
        yield running


@pytest.fixture
def epoll() -> Iterator[EpollDispatcher]:
    dispatcher = EpollDispatcher()
    yield dispatcher
    dispatcher.close()


@pytest.fixture
def make_wire(request: pytest.FixtureRequest) -> Iterator[MakeWire]:
    """Makes wires that are closed at the end, before their dispatcher is."""
    for name in ("dispatcher", "epoll", "make_step"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    with contextlib.ExitStack() as stack:

        def make(
            dispatcher: EventDispatcher,
            *,
            kind: str = "unix",
            buffer_bytes: int | None = None,
            **setup: Unpack[SocketSetup],
        ) -> Wire:
            near, far = make_pair(kind, buffer_bytes)
            wire = Wire(Socket.of(near, dispatcher, **setup), far)
            stack.callback(wire.close)
            return wire

        yield make


@pytest.fixture
def make_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeStep]:
    """Makes StepDispatchers, by whose clock the writer and the sockets go."""
    made: list[StepDispatcher] = []

    def make(seed: int | None = None, *, flushes_at_turn_end: bool = True) -> StepDispatcher:
        step = StepDispatcher(seed, flushes_at_turn_end=flushes_at_turn_end)
        monkeypatch.setattr(writer_module, "monotonic", step.clock.monotonic)
        monkeypatch.setattr(slow_peers_module, "time", step.clock)
        monkeypatch.setattr(writable_wait_module, "time", step.clock)
        monkeypatch.setattr(connecting_module, "time", step.clock)
        monkeypatch.setattr(graceful_close_module, "time", step.clock)
        monkeypatch.setattr(connector_module, "time", step.clock)
        monkeypatch.setattr(periodic_module, "time", step.clock)
        made.append(step)
        return step

    yield make
    for step in made:
        step.run_until_idle()
        assert step.raised == []
        assert not step.is_watching


@pytest.fixture
def step(make_step: MakeStep) -> StepDispatcher:
    return make_step()
