"""Session: its defaults, and what a successor takes over."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.user_code_error import UserCodeError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import Message, RpcRequest
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.session import Session, follow

FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(7, "S", "M", b"body")))


class Passing(Session):
    """Reads one byte, answers it, and passes on."""

    def __init__(self, successor: Session) -> None:
        super().__init__()
        self._next = successor

    def cut(self) -> list[Message]:
        if self.buffer:
            self.output.append(self.buffer.cutn(1))
            self.successor = self._next
        return []


def test_session_has_defaults_for_all_but_cutting() -> None:
    session = Session()
    session.buffer.append(b"abc")
    assert session.bytes_wanted() == session.held_bytes == 0
    assert session.unfinished_bytes == session.memory_bytes == 3
    assert session.end() == []
    assert session.name == ""
    assert not session.is_ordered
    session.note_sent(1)
    with pytest.raises(NotImplementedError):
        session.cut()


def test_memory_is_counted_with_a_buffer_of_any_kind() -> None:
    session = Session()
    session.buffer = IOBuf(b"abcd")
    assert session.memory_bytes == 4


def test_repr_says_which_protocol_it_is_and_whether_it_is_broken() -> None:
    session: Any = Session()
    assert repr(session) == "<Session undecided>"
    session.protocol, session.broken = BAIDU_STD, Broken("bad")
    assert repr(session) == "<Session baidu_std, broken>"


def test_successor_takes_over_bytes_and_output() -> None:
    last = MessageCutter()
    first = Passing(Passing(last))
    first.buffer.append(b"12" + FRAME + FRAME[:5])
    messages = first.cut()
    assert messages == []
    assert follow(first, messages) is last
    assert [message.correlation_id for message in messages] == [7]
    assert last.buffer == FRAME[:5]
    assert last.output == b"12"
    assert not first.buffer
    assert not first.output


def test_session_without_a_successor_stays() -> None:
    session = MessageCutter()
    assert follow(session, []) is session


def test_sessions_that_replace_one_another_for_ever_are_an_error() -> None:
    itself: Any = Passing(MessageCutter())
    itself.successor = itself
    with pytest.raises(UserCodeError, match="no end"):
        follow(itself, [])
    one: Any = Passing(MessageCutter())
    one.successor = other = Passing(one)
    other.successor = one
    with pytest.raises(UserCodeError, match="no end"):
        follow(one, [])
