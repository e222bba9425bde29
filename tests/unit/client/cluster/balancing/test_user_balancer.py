"""A balancer of the application that raises, or returns nonsense."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from pybrpc.base.guard import UserCodeError
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.client.cluster.balancing.round_robin import RoundRobin
from pybrpc.client.cluster.balancing.user_balancer import (
    NoBalancer,
    UserBalancer,
    guarded_balancer,
)
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.clusters import new_servers


class Raising(BaseException):
    """No Exception, and without a usable text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Custom:
    """Balancer and Picker: each method does what it was told to."""

    needs_hash_key = 1

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self.result = result
        self.error = error
        self.given: list[Any] = []

    def new_picker(self, servers: Any) -> Any:
        if self.error is not None and self.result == "new_picker":
            raise self.error
        return self

    def pick(self, *arguments: Any) -> Any:
        self.given.append(arguments)
        if self.error is not None:
            raise self.error
        return self.result

    on_begin = on_end = pick


def test_picker_of_the_application_is_used() -> None:
    (server,) = new_servers(1)
    custom = Custom(server)
    balancer = UserBalancer("own", custom)
    assert balancer.needs_hash_key is True
    picker = balancer.new_picker([server])
    assert picker.servers == (server,)
    assert picker.pick((), 5, 1.0) is server
    picker.on_begin(server, 1.0)
    picker.on_end(server, 1.0, 2.0, Outcome.SUCCESS, 3.0)
    assert custom.given == [
        ((), 5, 1.0),
        (server, 1.0),
        (server, 1.0, 2.0, Outcome.SUCCESS, 3.0),
    ]
    custom.result = None
    assert picker.pick((), 5, 1.0) is None


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1), Raising()])
def test_pick_that_raises_fails_the_call(error: BaseException) -> None:
    picker = UserBalancer("own", Custom(error=error)).new_picker([])
    with pytest.raises(RpcError, match="pick of the load balancer own raised") as caught:
        picker.pick((), None, 1.0)
    assert caught.value.code == ErrorCode.EINTERNAL
    assert caught.value.__cause__ is error


def test_result_that_is_no_server_fails_the_call() -> None:
    picker = UserBalancer("own", Custom("10.0.0.1:80")).new_picker([])
    with pytest.raises(RpcError, match=r"returned '10\.0\.0\.1:80', which is no server") as caught:
        picker.pick((), None, 1.0)
    assert caught.value.code == ErrorCode.EINTERNAL


class Pretending:
    """Raises when it is asked for its class."""

    @property
    def __class__(self) -> Any:
        raise SystemExit(1)

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


def test_result_that_raises_when_it_is_looked_at_fails_the_call() -> None:
    picker = UserBalancer("own", Custom(Pretending())).new_picker([])
    with pytest.raises(RpcError, match="which is no server") as caught:
        picker.pick((), None, 1.0)
    assert caught.value.code == ErrorCode.EINTERNAL


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1), Raising()])
def test_other_methods_that_raise_are_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    (server,) = new_servers(1)
    picker = UserBalancer("own", Custom(error=error)).new_picker([server])
    picker.on_begin(server, 1.0)
    picker.on_end(server, 1.0, 2.0, Outcome.FAULT, 3.0)
    assert "on_begin of the load balancer own raised" in caplog.text
    assert "on_end of the load balancer own raised" in caplog.text


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1)])
def test_new_picker_that_raises_is_an_error_of_the_application(error: BaseException) -> None:
    balancer = UserBalancer("own", Custom("new_picker", error))
    with pytest.raises(UserCodeError) as caught:
        balancer.new_picker(new_servers(1))
    assert caught.value.reason is error


def test_ctrl_c_in_a_pick_reaches_the_main_thread() -> None:
    picker = UserBalancer("own", Custom(error=KeyboardInterrupt())).new_picker([])
    with pytest.raises(KeyboardInterrupt):
        pick_until_interrupted(picker)


def pick_until_interrupted(picker: Any) -> None:
    with contextlib.suppress(RpcError):
        picker.pick((), None, 1.0)
    for _ in range(1000):  # The interpreter raises it between two of these.
        pass


def test_balancers_of_the_library_are_not_wrapped() -> None:
    balancer = RoundRobin()
    assert guarded_balancer(balancer) is balancer


def test_objects_of_the_application_are_wrapped() -> None:
    balancer = guarded_balancer(Custom())
    assert isinstance(balancer, UserBalancer)
    assert balancer.name == "Custom"
    assert guarded_balancer(Custom(), "own").name == "own"


@pytest.mark.parametrize("given", [5, None, object()])
def test_object_that_is_no_balancer_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="has a method new_picker"):
        guarded_balancer(given)


def test_balancer_that_could_not_be_made_makes_no_pickers() -> None:
    error = SystemExit(1)
    with pytest.raises(UserCodeError) as caught:
        NoBalancer(error).new_picker(new_servers(1))
    assert caught.value.reason is caught.value.__cause__ is error
