"""Handshakes: what happens between TCP and the first message, by an AppConnect of the tests."""

from __future__ import annotations

import errno
import socket as plain
from collections.abc import Iterator

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ErrorCode,
    HandshakeError,
    Phase,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import Message, RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.connecting.handshake import MAX_UNTAKEN_BYTES
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.step_queue import Work
from pybrpc.transport.socket.socket import Socket
from tests.fakes.sockets import SMALL_BUFFER, MakeStep, MakeWire, Outcomes, User, UserMessage, Wire
from tests.fakes.threads import WAIT_S
from tests.peers.frame_layer import BYTES, HEADER, FrameLayer, pack_frame
from tests.peers.greeting import Greeting

FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(7, "service", "method", b"body")))


@pytest.fixture
def listener() -> Iterator[plain.socket]:
    with plain.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(WAIT_S)
        yield listening


class Client:
    """A client Socket that greets, and the server's end of its connection."""

    def __init__(
        self, listener: plain.socket, dispatcher: EventDispatcher, **setup: object
    ) -> None:
        self.user = User()
        endpoint = Endpoint.from_sockaddr(listener.getsockname())
        setup = {"user": self.user, "connect_timeout_s": None, **setup}
        self.socket = Socket.to(endpoint, dispatcher, **setup)  # type: ignore[arg-type]
        self._listener = listener

    def accept(self) -> Wire:
        peer, _ = self._listener.accept()
        peer.settimeout(WAIT_S)
        return Wire(self.socket, peer)


# --- a client ---


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_messages_are_turned_into_bytes_only_after_the_handshake(
    dispatcher: EventDispatcher, listener: plain.socket, rounds: int
) -> None:
    """bRPC: single_threaded_connect_and_write, the part about its AppConnect."""
    client, log = Client(listener, dispatcher, app_connect=Greeting(rounds)), list[object]()
    messages = [UserMessage(b"first"), UserMessage(b"second")]
    for message in messages:
        message.log = log
        client.socket.start_write(message)
    wire = client.accept()
    for number in range(rounds):
        line = b"hello %d\n" % (number + 1)
        assert wire.receive(len(line)) == line
        assert (log, client.socket.is_connected) == ([], False)
        wire.peer.sendall(b"welcome\n")
    if not rounds:
        assert wire.receive(8) == b"hello 1\n"
    assert wire.receive(11) == b"firstsecond"
    assert log == messages
    assert client.user.connected.get(timeout=WAIT_S) is client.socket
    wire.close()


def test_bytes_behind_the_handshake_are_read_as_messages(
    dispatcher: EventDispatcher, listener: plain.socket
) -> None:
    client = Client(listener, dispatcher, app_connect=Greeting())
    client.socket.start_write(IOBuf(b"x"))
    wire = client.accept()
    wire.peer.sendall(b"welcome\n" + FRAME + FRAME[:10])
    assert client.user.messages.get(timeout=WAIT_S).correlation_id == 7
    wire.peer.sendall(FRAME[10:])
    assert client.user.messages.get(timeout=WAIT_S).correlation_id == 7
    wire.close()


@pytest.mark.parametrize("cut", range(1, 8))
def test_an_answer_in_two_parts_is_one_answer(
    step: StepDispatcher, make_wire: MakeWire, cut: int
) -> None:
    greeting = Greeting()
    wire = make_wire(step, app_connect=greeting)
    for part in (b"welcome\n"[:cut], b"welcome\n"[cut:]):
        step.run_until_idle()
        wire.peer.sendall(part)
    step.run_until_idle()
    assert (greeting.heard, wire.socket.is_connected) == ([b"welcome"], True)


@pytest.mark.parametrize(
    ("fails_with", "cls", "code", "text"),
    [
        (None, AuthenticationError, ErrorCode.ERPCAUTH, "the peer says no"),
        (ValueError("odd"), HandshakeError, ErrorCode.EINVAL, "ValueError('odd')"),
        (SystemExit("odd"), HandshakeError, ErrorCode.EINVAL, "SystemExit('odd')"),
        (ConnectionResetError(errno.ECONNRESET, "x"), HandshakeError, errno.ECONNRESET, "reset"),
    ],
)
def test_exception_of_a_handshake_reaches_everybody(
    dispatcher: EventDispatcher,
    listener: plain.socket,
    fails_with: BaseException | None,
    cls: type,
    code: int,
    text: str,
) -> None:
    client, told = Client(listener, dispatcher, app_connect=Greeting(1, fails_with)), Outcomes()
    for _ in range(100):
        client.socket.start_write(IOBuf(b"x"), on_outcome=told)
    wire = client.accept()
    wire.peer.sendall(b"no\n")
    errors = [client.user.take_error(), *told.take(100)]
    assert {type(error) for error in errors} == {cls}
    assert {(e.code, e.phase, e.peer) for e in errors if e} == {
        (code, Phase.HANDSHAKE, str(client.socket.remote_side))
    }
    assert text in str(errors[-1])
    assert wire.receive_all() == b"hello 1\n"
    assert client.user.connected.qsize() == 0
    wire.close()


@pytest.mark.parametrize("how", ["end", "too much"])
def test_handshake_fails_if_the_peer_ends_or_sends_too_much(
    dispatcher: EventDispatcher, listener: plain.socket, how: str
) -> None:
    client, told = Client(listener, dispatcher, app_connect=Greeting()), Outcomes()
    client.socket.start_write(IOBuf(b"x"), on_outcome=told)
    wire = client.accept()
    assert wire.receive(8) == b"hello 1\n"
    if how == "end":
        wire.peer.close()
    else:
        with pytest.raises(ConnectionError):
            wire.peer.sendall(bytes(100 * MAX_UNTAKEN_BYTES))
    error = told.take_error()
    assert (error.phase, error.is_remote) == (Phase.HANDSHAKE, True)
    assert error.code == (ErrorCode.EEOF if how == "end" else ErrorCode.EINVAL)
    client.user.take_error()
    wire.close()


def test_handshake_fails_at_the_deadline_of_the_connect(
    step: StepDispatcher, listener: plain.socket
) -> None:
    client, told = (
        Client(listener, step, app_connect=Greeting(2), connect_timeout_s=1.0),
        Outcomes(),
    )
    client.socket.start_write(IOBuf(b"x"), on_outcome=told)
    step.run_until_idle()
    wire = client.accept()
    step.advance(0.6)
    wire.peer.sendall(b"welcome\n")
    step.advance(0.3)
    assert told.untaken == 0
    assert "shaking hands" in repr(client.socket)
    step.advance(0.2)
    error = told.take_error()
    assert isinstance(error, HandshakeError)
    assert (error.code, error.phase) == (ErrorCode.ETIMEDOUT, Phase.HANDSHAKE)
    assert "was not over within connect_timeout" in error.text
    assert wire.receive_all() == b"hello 1\nhello 2\n"
    wire.close()


def test_a_greeting_that_the_kernel_does_not_take_at_once_goes_out_whole(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    class Long(Greeting):
        def start(self, outgoing: IOBuf) -> bool:
            outgoing.append(bytes(200_000))
            return True

    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, app_connect=Long())
    wire.socket.start_write(IOBuf(b"message"))
    received = bytearray()
    while len(received) < 200_007:
        step.run_until_idle()
        received += wire.peer.recv(1 << 16)
    assert received == bytes(200_000) + b"message"


def test_handshake_runs_through_the_layer(dispatcher: EventDispatcher, make_wire: MakeWire) -> None:
    user = User()
    layer = FrameLayer(writes_in_background=True, gives_credit=False)
    wire = make_wire(dispatcher, user=user, layer=layer, app_connect=Greeting())
    wire.socket.start_write(IOBuf(b"message"))
    assert wire.receive(HEADER.size + 8) == pack_frame(BYTES, b"hello 1\n")
    wire.peer.sendall(pack_frame(BYTES, b"welc") + pack_frame(BYTES, b"ome\n" + FRAME))
    assert wire.receive(HEADER.size + 7) == pack_frame(BYTES, b"message")
    assert user.messages.get(timeout=WAIT_S).correlation_id == 7


# --- an accepted socket ---


def test_writes_to_an_accepted_socket_wait_for_its_handshake(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    user, told = User(), Outcomes()
    wire = make_wire(dispatcher, user=user, app_connect=Greeting())
    wire.socket.start_write(IOBuf(b"early"), on_outcome=told, notify_on_success=True)
    assert wire.receive(8) == b"hello 1\n"
    assert (told.untaken, wire.socket.is_connected) == (0, False)
    wire.peer.sendall(b"welcome\n")
    assert wire.receive(5) == b"early"
    assert told.take() == [None]
    assert user.connected.get(timeout=WAIT_S) is wire.socket
    assert wire.socket.statistics().messages_written == 1


def test_silent_accepted_peer_is_closed_in_time(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = User()
    wire = make_wire(step, user=user, app_connect=Greeting(), handshake_timeout_s=2.0)
    step.advance(1.9)
    assert user.errors.qsize() == 0
    step.advance(0.2)
    assert user.take_error().code == ErrorCode.ETIMEDOUT
    assert wire.receive_all() == b"hello 1\n"


# --- closing meanwhile ---


@pytest.mark.parametrize("steps", range(8))
def test_close_at_any_step_of_the_handshake_reaches_everybody(
    make_step: MakeStep, listener: plain.socket, steps: int
) -> None:
    step = make_step()
    client, told = Client(listener, step, app_connect=Greeting(2)), Outcomes()
    client.socket.start_write(IOBuf(b"x"), on_outcome=told)
    wire: Wire | None = None
    for _ in range(steps):
        step.step()
        if wire is None and client.socket.fd >= 0:
            wire = client.accept()
            wire.peer.sendall(b"welcome\n")
    client.socket.close()
    step.run_until_idle()
    error = told.take_error()
    assert (error.code, told.untaken) == (ErrorCode.ECLOSE, 0)
    assert client.user.take_error().code == ErrorCode.ECLOSE
    assert client.socket.fd == -1
    if wire is not None:
        wire.close()


def test_handshake_stops_when_another_thread_fails_the_socket(
    dispatcher: EventDispatcher, listener: plain.socket
) -> None:
    client, told = Client(listener, dispatcher, app_connect=Greeting()), Outcomes()
    client.socket.start_write(IOBuf(b"x"), on_outcome=told)
    wire = client.accept()
    assert wire.receive(8) == b"hello 1\n"
    client.socket.fail(ConnectionFailedError("the test says so"))
    assert told.take_error().text == "the test says so"
    assert wire.receive_all() == b""
    wire.close()


# --- on_connected ---


def test_user_gets_on_connected_before_its_messages(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    log: list[object] = []

    class Noting(User):
        def on_connected(self, socket: Socket) -> None:
            log.append(socket.is_connected)
            socket.start_write(IOBuf(b"from on_connected"))

        def on_messages(self, socket: Socket, messages: list[Message]) -> None:
            log.append(len(messages))

    wire = make_wire(step, user=Noting())
    wire.peer.sendall(FRAME)
    wire.socket.start_write(IOBuf(b"queued, "))
    step.run_until_idle()
    assert log == [True, 1]
    assert wire.receive(25) == b"queued, from on_connected"


def test_user_of_a_connection_that_failed_gets_no_on_connected(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, user=user)
    wire.socket.close()
    step.run_until_idle()
    assert (user.connected.qsize(), user.errors.qsize()) == (0, 1)


# --- costly steps ---


class CostlyDispatcher(StepDispatcher):
    """Keeps the costly work until the test runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.costly: list[Work] = []

    def post_costly(self, work: Work) -> None:
        self.costly.append(work)

    def run_costly(self) -> None:
        costly, self.costly = self.costly, []
        for work in costly:
            self.post(work.run)  # type: ignore[arg-type]
        self.run_until_idle()


def test_step_of_a_layer_is_costly_work_queued_once(make_wire: MakeWire) -> None:
    dispatcher = CostlyDispatcher()
    layer = FrameLayer()
    wire = make_wire(dispatcher, layer=layer)
    for _ in range(5):
        dispatcher.step()
    wire.peer.sendall(b"HI")
    for _ in range(5):
        dispatcher.step()
    assert (len(dispatcher.costly), layer.said) == (1, [])
    (work,) = dispatcher.costly
    assert work.description.startswith("the handshake with")
    dispatcher.run_costly()
    assert wire.socket.is_connected
    wire.close()
    dispatcher.run_until_idle()


def test_step_of_a_connection_that_was_closed_does_nothing(make_wire: MakeWire) -> None:
    dispatcher = CostlyDispatcher()
    layer = FrameLayer()
    wire = make_wire(dispatcher, layer=layer)
    dispatcher.step()
    assert len(dispatcher.costly) == 1
    wire.socket.close()
    dispatcher.run_until_idle()
    dispatcher.run_costly()
    assert (layer.said, wire.socket.fd, dispatcher.raised) == (["close"], -1, [])


def test_step_of_a_connection_without_a_layer_is_no_costly_work(make_wire: MakeWire) -> None:
    dispatcher = CostlyDispatcher()
    wire = make_wire(dispatcher, app_connect=Greeting())
    dispatcher.run_until_idle()
    assert dispatcher.costly == []
    wire.peer.sendall(b"welcome\n")
    dispatcher.run_until_idle()
    assert wire.socket.is_connected
    wire.close()
    dispatcher.run_until_idle()
