"""Guarantee 8 of the write path: a message that can't be turned into bytes fails alone."""

from __future__ import annotations

import pytest

from pybrpc.errors import (
    ErrorCode,
)
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.sockets import MakeWire, Outcomes, User, UserMessage


@pytest.mark.parametrize("how", ["in place", "in a batch"])
def test_message_that_cannot_be_turned_into_bytes_fails_alone(
    step: StepDispatcher, make_wire: MakeWire, how: str
) -> None:
    wire = make_wire(step, user=User())
    told, reason = Outcomes(), ValueError("Invalid input")

    def write() -> None:
        for content in (b"before ", reason, b"after"):
            wire.socket.start_write(UserMessage(content), on_outcome=told, notify_on_success=True)
            if how == "in place":
                step.clock.advance(1)

    if how == "in place":
        write()
    else:
        step.post(write)
    step.run_until_idle()
    outcomes = told.take(3)
    (error,) = [error for error in outcomes if error is not None]
    assert (error.code, error.phase) == (ErrorCode.EINVAL, "queued")
    assert "Invalid input" in error.text
    assert error.__cause__ is reason
    assert wire.receive(12) == b"before after"
    assert not wire.socket.is_failed
    assert wire.socket.backlog.size_bytes == 0
