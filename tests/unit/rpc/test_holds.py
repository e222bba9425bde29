"""Each hold has one end: it is released, or its user is notified that the connection has failed."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.rpc.holds import Holds, begin_hold, end_hold, fail_holds
from pybrpc.testing.step_dispatcher import StepDispatcher

ERROR = make_rpc_error(ErrorCode.EEOF, "the peer is gone")


class Line:
    """A connection, with its socket in one."""

    def __init__(self) -> None:
        self.dispatcher = StepDispatcher()
        self.error: RpcError | None = None
        self.holds: Holds = {}

    def hold(self, user: User) -> None:
        begin_hold(self.holds, user, self, self)  # type: ignore[arg-type]

    def release(self, user: User) -> bool:
        return end_hold(self.holds, user, self, self)  # type: ignore[arg-type]

    def fail(self) -> None:
        self.error = ERROR
        self.dispatcher.post(lambda: fail_holds(self.holds, self, self, ERROR))  # type: ignore[arg-type]


class User:
    def __init__(self, raises: type[BaseException] | None = None) -> None:
        self.raises = raises
        self.failed: list[tuple[Any, RpcError]] = []

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        self.failed.append((connection, error))
        if self.raises is not None:
            raise self.raises


def test_users_are_notified_in_bounded_steps_and_may_release_until_theirs() -> None:
    line = Line()
    users = [User() for _ in range(2 * MAX_PER_STEP + 1)]
    for user in users:
        line.hold(user)
    line.fail()
    line.dispatcher.step()
    assert 1 <= sum(len(user.failed) for user in users) <= MAX_PER_STEP
    assert not line.release(users[-1])
    line.dispatcher.run_until_idle()
    assert [user.failed for user in users] == [[(line, ERROR)]] * (len(users) - 1) + [[]]
    assert line.holds == {}


@pytest.mark.parametrize("raises", [ValueError, MemoryError, RecursionError])
def test_user_that_raises_keeps_nothing_from_others(raises: type[BaseException]) -> None:
    line = Line()
    users = [User(raises), User(), User(raises), User()]
    for user in users:
        line.hold(user)
    line.fail()
    line.dispatcher.run_until_idle()
    assert [len(user.failed) for user in users] == [1] * 4


def test_hold_of_a_failed_connection_raises_and_holds_nothing() -> None:
    line, user = Line(), User()
    line.fail()
    with pytest.raises(RpcError, match="the peer is gone"):
        line.hold(user)
    line.dispatcher.run_until_idle()
    assert (line.holds, user.failed) == ({}, [])
    assert not line.release(user)


def test_hold_is_for_one_user_once() -> None:
    line, user = Line(), User()
    line.hold(user)
    with pytest.raises(RuntimeError, match="already"):
        line.hold(user)
    assert line.release(user)
    with pytest.raises(RuntimeError, match="does not hold"):
        line.release(user)
