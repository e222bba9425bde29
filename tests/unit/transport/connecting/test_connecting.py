"""Connecting when its dispatcher ends meanwhile, or the process forks."""

from __future__ import annotations

import socket as plain
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.connecting import connector as connector_module
from pybrpc.transport.connecting.handshake import Handshake
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.socket.socket import Socket
from tests.fakes.sockets import Outcomes, User
from tests.peers.frame_layer import FrameLayer
from tests.peers.greeting import Greeting


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with plain.create_server(("127.0.0.1", 0)) as listener:
        yield Endpoint.from_sockaddr(listener.getsockname())


def run_until(step: StepDispatcher, told: Outcomes) -> None:
    while not told.untaken:
        step.run_until_idle()


def test_first_write_fails_when_the_dispatcher_is_closed(
    step: StepDispatcher, endpoint: Endpoint
) -> None:
    user, told = User(), Outcomes()
    near = Socket.to(endpoint, step, user=user)
    step.close()
    near.start_write(IOBuf(b"x"), on_outcome=told)
    error = told.take_error()
    assert (error.code, error.peer) == (ErrorCode.EFAILEDSOCKET, str(endpoint))
    assert user.take_error().phase == Phase.CONNECT
    assert near.fd == -1


def test_write_fails_when_the_dispatcher_closes_before_the_handshake(
    step: StepDispatcher, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = step.post

    def refuse_handshake(function: Any) -> None:
        if any(isinstance(one, Handshake) for one in getattr(function, "args", ())):
            raise DispatcherClosedError("closed")
        post(function)

    monkeypatch.setattr(step, "post", refuse_handshake)
    user, told = User(), Outcomes()
    near = Socket.to(endpoint, step, user=user, layer=FrameLayer())
    near.start_write(IOBuf(b"x"), on_outcome=told)
    run_until(step, told)
    error = told.take_error()
    assert (error.code, error.text) == (ErrorCode.EFAILEDSOCKET, "closed")
    step.run_until_idle()
    assert (near.fd, user.errors.qsize(), step.is_watching) == (-1, 1, False)


def test_connector_is_stopped_when_the_socket_fails_while_it_starts(
    step: StepDispatcher, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another thread, whose turn to stop it has come before there was anything to stop."""
    post = step.post

    def fail_and_post(function: Any) -> None:
        monkeypatch.setattr(step, "post", post)
        near.close()
        step.run_until_idle()
        post(function)

    told = Outcomes()
    near = Socket.to(endpoint, step)
    monkeypatch.setattr(step, "post", fail_and_post)
    near.start_write(IOBuf(b"x"), on_outcome=told)
    step.run_until_idle()
    assert told.take_error().code == ErrorCode.ECLOSE
    assert not step.is_watching


def test_connecting_has_its_state_in_words(step: StepDispatcher, endpoint: Endpoint) -> None:
    near = Socket.to(endpoint, step, layer=FrameLayer())
    states = [near._connecting.state]
    near.start_write(IOBuf(b"x"))
    while near._connecting.state != "not connected" or len(states) == 1:
        states.append(near._connecting.state)
        step.step()
    assert list(dict.fromkeys(states)) == ["not connected", "connecting", "shaking hands"]
    near.close()
    step.run_until_idle()


def test_abandoned_handshake_sends_and_reports_nothing(
    step: StepDispatcher, endpoint: Endpoint
) -> None:
    layer, told = FrameLayer(), Outcomes()
    near = Socket.to(endpoint, step, layer=layer)
    near.start_write(IOBuf(b"x"), on_outcome=told)
    while near._connecting.state != "shaking hands":
        step.step()
    near.abandon()
    step.run_until_idle()
    assert (told.untaken, layer.said) == (0, [])


class NotAnError(BaseException):
    """No Exception, as what a signal handler may raise."""


@pytest.mark.parametrize(
    "place", [pytest.param("adopt", marks=pytest.mark.python_only), "timer", "handshake"]
)
def test_write_fails_when_a_step_of_connecting_raises(
    step: StepDispatcher, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: Any) -> None:
        raise NotAnError("odd")

    if place == "adopt":
        monkeypatch.setattr(Socket, "adopt", fail)
    elif place == "timer":
        monkeypatch.setattr(step, "call_at", fail)
    else:
        monkeypatch.setattr(Handshake, "begin", fail)
    user, told = User(), Outcomes()
    near = Socket.to(endpoint, step, user=user, layer=FrameLayer(), connect_timeout_s=None)
    near.start_write(IOBuf(b"x"), on_outcome=told)
    run_until(step, told)
    error = told.take_error()
    assert "NotAnError('odd')" in error.text
    step.run_until_idle()
    assert (near.fd, user.errors.qsize(), step.is_watching) == (-1, 1, False)


def test_phase_of_a_socket_tells_what_it_waits_for(
    step: StepDispatcher, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(
        connector_module, "resolve_in_background", lambda endpoint, on_done: done.append(on_done)
    )
    near = Socket.to(Endpoint("a-name", 80), step, app_connect=Greeting())
    assert near.connecting_phase() is Phase.CONNECT
    near.start_write(IOBuf(b"x"))
    step.run_until_idle()
    assert near.connecting_phase() is Phase.RESOLVE
    done[0]([(plain.AF_INET, (endpoint.host, endpoint.port))])
    while near.fd < 0:
        step.run_until_idle()
    assert near.connecting_phase() is Phase.HANDSHAKE
    near.close()
    step.run_until_idle()
