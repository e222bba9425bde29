"""SocketReader: how much is read at once, and when it rests."""

from __future__ import annotations

import socket as _socket
from functools import partial

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import Message, RpcRequest
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.session import Session
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.reader import READ_BYTES
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import hard_limit
from tests.fakes.sockets import OVERCROWDED_AT_1000, SMALL_BUFFER, MakeWire, User, Wire, flush
from tests.peers.frame_layer import BYTES, FrameLayer, pack_frame
from tests.peers.greeting import Greeting

LARGE = bytes(BAIDU_STD.pack_request(RpcRequest(1, "S", "M", bytes(8 * READ_BYTES))))
SMALL = bytes(BAIDU_STD.pack_request(RpcRequest(2, "S", "M", b"small")))


def send(wire: Wire, step: StepDispatcher, data: bytes) -> None:
    """All of it, as fast as it is read."""
    wire.peer.setblocking(False)
    view = memoryview(data)
    while view:
        try:
            view = view[wire.peer.send(view) :]
        except BlockingIOError:
            assert step.run_until_idle()
    step.run_until_idle()


def test_large_message_is_read_in_few_pieces(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = User()
    wire = make_wire(step, user=user)
    step.run_until_idle()
    send(wire, step, LARGE + SMALL)
    assert [len(user.messages.get(timeout=0).body) for _ in range(2)] == [8 * READ_BYTES, 5]
    found = wire.socket.statistics()
    assert (found.bytes_read, found.messages_read) == (len(LARGE) + len(SMALL), 2)


def test_reader_pauses_while_unanswered_bytes_are_overcrowded(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user, unanswered = User(), Backlog(1000, 500)
    wire = make_wire(step, user=user, unanswered=unanswered)
    step.run_until_idle()
    assert unanswered.try_add(2000, True)
    send(wire, step, SMALL)
    assert wire.socket.is_reading_paused
    assert user.messages.qsize() == 1, "what was read already"
    wire.peer.sendall(SMALL)
    step.run_until_idle()
    assert user.messages.qsize() == 1
    unanswered.remove(2000, 1)
    step.run_until_idle()
    assert not wire.socket.is_reading_paused
    assert user.messages.qsize() == 2


def test_reader_stays_paused_if_the_backlog_is_overcrowded_again(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(
        step,
        user=user,
        buffer_bytes=SMALL_BUFFER,
        options=OVERCROWDED_AT_1000,
        pauses_reads_when_overcrowded=True,
    )
    step.run_until_idle()
    near = wire.socket
    near.start_write(IOBuf(bytes(1 << 16)), ignore_eovercrowded=True)
    send(wire, step, SMALL)
    assert near.is_reading_paused
    step.post(partial(near._reader._restart, near))
    step.run_until_idle()
    assert near.is_reading_paused
    flush(wire, step)
    assert not near.is_reading_paused
    step.post(partial(near._reader._restart, near))  # once more, by somebody who is late
    send(wire, step, SMALL)
    assert user.messages.qsize() == 2


@pytest.mark.parametrize("is_closed", [False, True])
def test_failed_socket_does_not_read_on(
    step: StepDispatcher, make_wire: MakeWire, is_closed: bool
) -> None:
    unanswered = Backlog(1000, 500)
    wire = make_wire(step, user=User(), unanswered=unanswered)
    step.run_until_idle()
    assert unanswered.try_add(2000, True)
    send(wire, step, SMALL)
    wire.socket.close()
    step.run_until_idle()
    if is_closed:
        step.close()
    unanswered.remove(2000, 1)
    step.run_until_idle()
    assert not step.is_watching


class HoardingLayer(FrameLayer):
    """Reads all that has come, and gives the contents of one frame at each call."""

    def __init__(self) -> None:
        super().__init__(gives_credit=False)
        self.calls = 0
        self._held: list[bytes] = []

    @property
    def has_unread(self) -> bool:  # type: ignore[override]
        return bool(self._held)

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        self.calls += 1
        if not self._held:
            contents = IOBuf()
            super().append_from_fd(fd, contents, max_bytes)
            data = bytes(contents)
            self._held = [data[at : at + len(SMALL)] for at in range(0, len(data), len(SMALL))]
        data = self._held.pop(0)
        buffer.append(data)
        return len(data)


def test_data_that_a_layer_holds_is_read_in_turns_without_an_event(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user, layer = User(), HoardingLayer()
    wire = make_wire(step, user=user, layer=layer)
    step.run_until_idle()
    before = step.steps
    wire.peer.sendall(pack_frame(BYTES, 5 * SMALL))
    step.run_until_idle()
    assert user.messages.qsize() == 5
    assert (layer.calls, step.steps - before) == (5, 5), "a turn for each, and no other"


@pytest.mark.parametrize("then", ["pauses", "fails", "finds the dispatcher closed"])
def test_data_that_a_layer_holds_is_left_when_the_connection(
    step: StepDispatcher, make_wire: MakeWire, then: str
) -> None:
    user, layer, unanswered = User(), HoardingLayer(), Backlog(1000, 500)
    wire = make_wire(step, user=user, layer=layer, unanswered=unanswered)
    step.run_until_idle()
    if then == "pauses":
        assert unanswered.try_add(2000, True)
    elif then == "fails":
        user.on_messages = lambda *_: wire.socket.close()  # type: ignore[method-assign]
    else:
        user.on_messages = lambda *_: setattr(step, "_is_closed", True)  # type: ignore[method-assign]
    wire.peer.sendall(pack_frame(BYTES, 5 * SMALL))
    step.run_until_idle()
    assert layer.calls == 1
    if then == "pauses":
        unanswered.remove(2000, 1)
        step.run_until_idle()
        assert (user.messages.qsize(), layer.calls) == (5, 5)


def test_user_that_raises_for_the_bytes_behind_a_handshake_fails_the_socket(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    user.on_messages = lambda *_: exec("raise SystemExit")  # type: ignore[method-assign]
    wire = make_wire(step, user=user, app_connect=Greeting())
    wire.peer.sendall(b"welcome\n" + SMALL)
    step.run_until_idle()
    error = user.take_error()
    assert (error.code, error.text.startswith("the reader of")) == (ErrorCode.EINTERNAL, True)
    assert wire.socket.fd == -1


def test_read_now_reads_what_has_come_without_a_turn(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, user=user)
    step.run_until_idle()
    wire.peer.sendall(SMALL)
    wire.socket.read_now()
    assert user.messages.qsize() == 1


def test_read_now_does_nothing_on_a_socket_that_is_not_connected(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, user=user)
    step.run_until_idle()
    wire.peer.sendall(SMALL)
    wire.socket.close()
    new = Socket.to(Endpoint("127.0.0.1", 1), step, user=user)
    for socket in (wire.socket, new):
        socket.read_now()
    assert user.messages.qsize() == 0
    assert not new.is_failed


class Talking(Session):
    """Greets, echoes what it reads in capitals, and makes a message of what the input ends with."""

    def __init__(self, successor: Session | None = None) -> None:
        super().__init__(BAIDU_STD)
        self.output.append(b"hello ")
        self._next = successor

    def cut(self) -> list[Message]:
        data = bytes(self.buffer)
        if data.startswith(b"bad"):
            self.output.append(b"bye")
            self.broken = Broken("it is bad")
        elif data.startswith(b"next"):
            self.buffer.pop_front(4)
            self.successor = self._next
        elif data.endswith(b"."):
            self.output.append(data.upper())
            self.buffer.clear()
        return []

    def end(self) -> list[Message]:
        self.output.append(b"the end")
        return [RpcRequest(1, "S", "M", bytes(self.buffer))]


def test_what_a_session_says_is_written(step: StepDispatcher, make_wire: MakeWire) -> None:
    wire = make_wire(step, user=User(), session=Talking())
    step.run_until_idle()
    assert wire.peer.recv(100) == b"hello "
    send(wire, step, b"a.")
    assert wire.peer.recv(100) == b"A."
    assert not wire.socket.session.output


def test_last_words_of_a_broken_session_are_written(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, user=user, session=Talking())
    send(wire, step, b"bad")
    assert wire.peer.recv(100) == b"hello bye"
    assert user.take_error().text.endswith("it is bad")


def test_end_of_the_input_may_complete_a_message(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = User()
    wire = make_wire(step, user=user, session=Talking())
    send(wire, step, b"abc")
    assert user.messages.qsize() == 0
    wire.peer.shutdown(_socket.SHUT_WR)
    step.run_until_idle()
    assert user.messages.get(timeout=0).body == b"abc"
    assert wire.socket.messages_read == 1
    assert user.take_error().code == ErrorCode.EEOF
    assert wire.peer.recv(100) == b"hello the end"


def test_successor_cuts_what_is_left(step: StepDispatcher, make_wire: MakeWire) -> None:
    user, last = User(), MessageCutter()
    wire = make_wire(step, user=user, session=Talking(last))
    send(wire, step, b"next" + SMALL + SMALL[:5])
    assert wire.socket.session is last
    assert user.messages.get(timeout=0).body == b"small"
    send(wire, step, SMALL[5:])
    assert user.messages.get(timeout=0).body == b"small"
    assert wire.peer.recv(100) == b"hello "


def test_session_that_says_too_much_to_a_peer_that_reads_nothing_fails(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(
        step,
        user=user,
        session=Talking(),
        buffer_bytes=SMALL_BUFFER,
        options=OVERCROWDED_AT_1000,
    )
    step.run_until_idle()
    said = b"x" * 60_000 + b"."
    for _ in range(2 * hard_limit(1000) // len(said) + 1):
        if not wire.socket.is_failed:
            send(wire, step, said)
    assert user.take_error().code == ErrorCode.EOVERCROWDED


class OneByOne(Session):
    """Each byte is a message, and each `cut` takes one."""

    def cut(self) -> list[Message]:
        byte = bytes(self.buffer.cutn(1))
        self.has_more = bool(self.buffer)
        return [RpcRequest(1, "S", "M", byte)] if byte else []


def bodies(user: User) -> bytes:
    return b"".join(user.messages.get(timeout=0).body for _ in range(user.messages.qsize()))


def test_messages_that_a_session_leaves_are_cut_in_later_turns_in_order(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, user=user, session=OneByOne())
    step.run_until_idle()
    wire.peer.sendall(b"abcd")
    wire.socket.read_now()
    assert bodies(user) == b"a"
    wire.peer.sendall(b"efg")
    for _ in range(3):
        wire.socket.read_now()  # readable, while a turn of its own is posted
    assert (bodies(user), wire.socket.statistics().bytes_read) == (b"", 4)
    step.run_until_idle()
    assert (bodies(user), wire.socket.statistics().bytes_read) == (b"bcdefg", 7)


def test_end_of_the_input_comes_behind_messages_that_were_left(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    wire = make_wire(step, user=user, session=OneByOne())
    send(wire, step, b"")
    wire.peer.sendall(b"abc")
    wire.peer.shutdown(_socket.SHUT_WR)
    step.run_until_idle()
    assert bodies(user) == b"abc"
    assert user.take_error().code == ErrorCode.EEOF


def test_messages_that_were_left_wait_while_unanswered_bytes_are_overcrowded(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user, unanswered = User(), Backlog(1000, 500)
    wire = make_wire(step, user=user, unanswered=unanswered, session=OneByOne())
    step.run_until_idle()
    assert unanswered.try_add(2000, True)
    send(wire, step, b"abc")
    wire.socket.read_now()
    step.run_until_idle()
    assert bodies(user) == b"a"
    unanswered.remove(2000, 1)
    step.run_until_idle()
    assert bodies(user) == b"bc"


@pytest.mark.parametrize("is_paused", [False, True])
def test_messages_that_were_left_are_discarded_once_reads_are(
    step: StepDispatcher, make_wire: MakeWire, is_paused: bool
) -> None:
    user, unanswered = User(), Backlog(1000, 500)
    wire = make_wire(step, user=user, unanswered=unanswered, session=OneByOne())
    step.run_until_idle()
    if is_paused:
        assert unanswered.try_add(2000, True)
    wire.peer.sendall(b"abc")
    wire.socket.read_now()
    wire.socket.discard_reads()
    if is_paused:
        unanswered.remove(2000, 1)
    send(wire, step, b"def")
    assert bodies(user) == b"a"
    assert not wire.socket.session.buffer


@pytest.mark.parametrize("is_closed", [False, True])
def test_failed_socket_cuts_nothing_more(
    step: StepDispatcher, make_wire: MakeWire, is_closed: bool
) -> None:
    user = User()
    wire = make_wire(step, user=user, session=OneByOne())
    step.run_until_idle()
    wire.peer.sendall(b"abc")
    wire.socket.read_now()
    wire.socket.close()
    if is_closed:
        step.close()
    step.run_until_idle()
    assert bodies(user) == b"a"
