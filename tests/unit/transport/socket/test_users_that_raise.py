"""A user of a socket that raises anything fails that socket, and a message that raises fails
alone. Nothing else is hurt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

import pytest

from pybrpc.base.guard import safe_repr
from pybrpc.errors import ErrorCode, InternalServerError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.sockets import MakeWire, Outcomes, RecordingUser, User, UserMessage
from tests.peers.frame_layer import FrameLayer

REQUEST = bytes(BAIDU_STD.pack_request(RpcRequest(1, "S", "M", b"small")))

ANYTHING = [
    ValueError("odd"),
    asyncio.CancelledError(),
    GeneratorExit(),
    SystemExit(3),
    MemoryError(),
    RecursionError(),
]


class Unprintable(Exception):
    def __repr__(self) -> str:
        raise SystemExit


class Raising(RecordingUser):
    """Raises in the method of that name, once it has noted the call."""

    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()
        self._method = method
        self._error = error

    def _raise_in(self, method: str) -> None:
        if method == self._method:
            raise self._error

    def on_connected(self, socket: Socket) -> None:
        super().on_connected(socket)
        self._raise_in("on_connected")

    def on_messages(self, socket: Socket, messages: Any) -> None:
        super().on_messages(socket, messages)
        self._raise_in("on_messages")

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        super().on_end(socket, error)
        self._raise_in("on_end")
        return True

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        super().on_failed(socket, error)
        self._raise_in("on_failed")


@pytest.mark.parametrize(
    "error", [*ANYTHING, Unprintable()], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("method", ["on_connected", "on_messages", "on_end"])
def test_socket_fails_when_its_user_raises(
    step: StepDispatcher,
    make_wire: MakeWire,
    caplog: pytest.LogCaptureFixture,
    method: str,
    error: BaseException,
) -> None:
    user, told = Raising(method, error), Outcomes()
    wire, other = make_wire(step, user=user, buffer_bytes=4096), make_wire(step, user=User())
    wire.socket.start_write(IOBuf(bytes(1 << 20)), on_outcome=told)
    wire.peer.sendall(REQUEST)
    if method == "on_end":
        wire.peer.shutdown(1)
    with caplog.at_level(logging.ERROR, "pybrpc"):
        step.run_until_idle()
    assert user.told[-1] == ("failed", wire.socket, ErrorCode.EINTERNAL)
    assert told.take_error().code == ErrorCode.EINTERNAL
    what = "on_connected" if method == "on_connected" else "the reader"
    failure = wire.socket.error
    assert isinstance(failure, InternalServerError)
    assert (failure.phase, failure.peer) == ("waiting", str(wire.socket.remote_side))
    assert failure.text.startswith(f"{what} of {wire.socket.remote_side} (socket ")
    assert failure.text.endswith(f" raised {safe_repr(error)}")
    (record,) = caplog.records
    assert record.getMessage() == f"{what} of {description_of(wire.socket)} raised"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    other.socket.start_write(IOBuf(b"goes on"))
    assert other.receive(7) == b"goes on"


def description_of(socket: Socket) -> str:
    """As it was before its descriptor was closed."""
    assert socket.error is not None
    return socket.error.text.partition(" of ")[2].rpartition(" raised")[0]


def test_error_without_code_of_the_user_is_left_to_the_dispatcher(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """It may come from outside: only the dispatcher knows whose turn this is."""
    user, layer = User(), FrameLayer()
    wire = make_wire(step, user=user, layer=layer)
    step.run_until_idle()
    layer.append_from_fd = max  # type: ignore[method-assign, assignment]
    wire.peer.sendall(b"x")
    step.run_until_idle()
    (error,) = step.raised
    assert isinstance(error, TypeError)
    assert user.take_error().code == ErrorCode.EINTERNAL
    assert wire.socket.fd == -1
    step.raised.clear()


@pytest.mark.parametrize("method", ["on_connected", "on_messages", "on_end"])
def test_error_in_a_user_of_the_library_is_left_to_the_dispatcher(
    step: StepDispatcher, make_wire: MakeWire, method: str
) -> None:
    """No frame of the test is in it: `divmod` has none."""
    methods = {"__module__": "pybrpc.somewhere", method: staticmethod(divmod)}
    user = type("UserOfTheLibrary", (User,), methods)()
    wire = make_wire(step, user=user)
    wire.peer.sendall(REQUEST)
    wire.peer.shutdown(1)
    step.run_until_idle()
    (error,) = step.raised
    assert isinstance(error, TypeError)
    assert user.take_error().code == ErrorCode.EINTERNAL
    step.raised.clear()


def test_on_failed_that_raises_is_logged(
    step: StepDispatcher, make_wire: MakeWire, caplog: pytest.LogCaptureFixture
) -> None:
    user = Raising("on_failed", SystemExit())
    wire = make_wire(step, user=user)
    wire.socket.close()
    with caplog.at_level(logging.ERROR, "pybrpc"):
        step.run_until_idle()
    assert [record.getMessage() for record in caplog.records] == [
        f"on_failed of {wire.socket.description} raised"
    ]
    assert (wire.socket.fd, len(user.told)) == (-1, 1)


def test_failure_names_no_peer_if_there_is_none(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = Raising("on_connected", ValueError("odd"))
    wire = make_wire(step, user=user)
    wire.socket.remote_side = None
    step.run_until_idle()
    assert wire.socket.error is not None
    assert wire.socket.error.peer == ""
    assert wire.socket.error.text.startswith("on_connected of a pair (socket ")


@pytest.mark.parametrize("method", ["on_connected", "on_messages"])
def test_running_dispatcher_goes_on_when_a_user_raises(
    dispatcher: EventDispatcher, make_wire: MakeWire, method: str
) -> None:
    user = User()
    setattr(user, method, lambda *_: exec("raise SystemExit"))
    wire = make_wire(dispatcher, user=user)
    with contextlib.suppress(OSError):
        wire.peer.sendall(REQUEST)
    assert user.take_error().code == ErrorCode.EINTERNAL
    other = make_wire(dispatcher, user=User())
    other.socket.start_write(IOBuf(b"goes on"))
    assert other.receive(7) == b"goes on"


@pytest.mark.parametrize("method", ["on_connected", "on_messages", "on_end"])
def test_method_of_a_user_that_takes_other_arguments_is_not_for_the_caller_that_polls(
    step: StepDispatcher, make_wire: MakeWire, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """No frame of the method is in the traceback then."""
    user = User()
    setattr(user, method, lambda: None)
    wire = make_wire(step, user=user)
    wire.peer.sendall(REQUEST)
    wire.peer.shutdown(1)
    with caplog.at_level(logging.ERROR, "pybrpc"):
        step.run_until_idle()
    assert wire.socket.error is not None
    assert wire.socket.error.code == ErrorCode.EINTERNAL
    what = "on_connected" if method == "on_connected" else "the reader"
    assert [record.getMessage() for record in caplog.records] == [
        f"{what} of {description_of(wire.socket)} raised"
    ]


def test_ctrl_c_in_a_user_reaches_the_main_thread_afterwards(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    wire = make_wire(step, user=Raising("on_connected", KeyboardInterrupt()))

    def run_and_wait() -> None:
        step.run_until_idle()
        time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        run_and_wait()
    step.run_until_idle()
    assert wire.socket.fd == -1


@pytest.mark.parametrize(
    "error", [*ANYTHING, Unprintable()], ids=lambda error: type(error).__name__
)
def test_message_fails_alone_whatever_it_raises(
    step: StepDispatcher, make_wire: MakeWire, error: BaseException
) -> None:
    wire, told, others = make_wire(step), Outcomes(), Outcomes()
    for content in (b"before, ", error, b"behind"):
        message = UserMessage(content)
        outcome = told if content is error else others
        wire.socket.start_write(message, on_outcome=outcome, notify_on_success=True)
    step.run_until_idle()
    found = told.take_error()
    assert (found.code, found.phase) == (ErrorCode.EINVAL, "queued")
    assert others.take(2) == [None, None]
    assert wire.receive(14) == b"before, behind"
    assert wire.socket.backlog.size_bytes == wire.socket.backlog.requests == 0
