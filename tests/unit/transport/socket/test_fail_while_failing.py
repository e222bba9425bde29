"""Socket.fail at any step of another one: found by the model of verification/."""

from __future__ import annotations

import pytest

from pybrpc.errors import ErrorCode, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.transport.socket.socket import Socket
from tests.fakes.sockets import Interruption, MakeStep, Outcomes, unused_endpoint


@pytest.mark.python_only
def test_error_is_set_for_every_thread_that_fails_a_socket(make_step: MakeStep) -> None:
    moment = 0
    happened = True
    while happened:
        moment += 1
        near = Socket.to(unused_endpoint(), make_step())

        def fail(near: Socket = near) -> None:
            near.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "while the other one fails it"))
            assert near.error is not None

        interruption = Interruption(moment, fail)
        with interruption:
            near.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))
        happened = interruption.happened
    assert moment > 20


@pytest.mark.python_only
def test_connect_that_fails_while_the_socket_fails_reaches_every_writer(
    make_step: MakeStep,
) -> None:
    """The turns run in between as if they were another thread's."""
    moment = 0
    happened = True
    while happened:
        moment += 1
        step = make_step()
        told = Outcomes()
        near = Socket.to(unused_endpoint(), step)
        near.start_write(IOBuf(b"queued"), on_outcome=told)
        near.start_write(IOBuf(b"behind it"), on_outcome=told)
        interruption = Interruption(moment, step.run_until_idle)
        with interruption:
            near.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))
        happened = interruption.happened
        step.run_until_idle()
        assert told.untaken == 2, f"at step {moment}"
        assert near.backlog.size_bytes == near.backlog.requests == 0
    assert moment > 20
