"""check_session finds the faults of sessions."""

from __future__ import annotations

import pytest

from pybrpc.protocols.message import Message, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import Broken, ParseLimits
from pybrpc.protocols.session import Session
from pybrpc.testing.check_protocol import check_protocol
from pybrpc.testing.check_session import check_session
from tests.peers.line_protocols import JSON_LINES, PLAIN_LINES

SAMPLES = [RpcRequest(0, "a.B", "C", b"x"), RpcResponse(0, body=b"yy"), RpcResponse(0, 5, "no")]


class Lines(Session):
    """Each line is a request; the last one needs no end. A "?" is answered at once."""

    def __init__(self, limits: ParseLimits) -> None:
        super().__init__()
        self.limit = limits.max_body_size

    def cut(self) -> list[Message]:
        messages: list[Message] = []
        while self.broken is None and (line := self.buffer.cut_until(b"\n")) is not None:
            self.take(bytes(line), messages)
        if len(self.buffer) > self.limit:
            self.broken = Broken("too long")
        if self.broken is not None:
            self.buffer.clear()
        return messages

    def end(self) -> list[Message]:
        return [RpcRequest(1, "S", "M", bytes(self.buffer))] if self.buffer else []

    def take(self, line: bytes, messages: list[Message]) -> None:
        if line == b"?":
            self.output.append(b"!")
        else:
            messages.append(RpcRequest(1, "S", "M", line))


class OutputOfEachRead(Lines):
    def cut(self) -> list[Message]:
        self.output.append(b".")
        return super().cut()


class OneOfEachRead(Lines):
    def cut(self) -> list[Message]:
        line = self.buffer.cut_until(b"\n")
        return [] if line is None else [RpcRequest(1, "S", "M", bytes(line))]


class LeavesSome(Lines):
    """Cuts one line at a time, and says that there are more."""

    def cut(self) -> list[Message]:
        messages: list[Message] = []
        line = self.buffer.cut_until(b"\n")
        if line is not None:
            self.take(bytes(line), messages)
        self.has_more = b"\n" in bytes(self.buffer)
        if not self.has_more:
            messages += super().cut()
        return messages


class SaysMoreForEver(Lines):
    def cut(self) -> list[Message]:
        messages = super().cut()
        self.has_more = True
        return messages


class GoesOn(Lines):
    def cut(self) -> list[Message]:
        messages = super().cut()
        if any(message.body != b"one" for message in messages):  # type: ignore[union-attr]
            self.broken = self.broken or Broken("not one")
        elif self.broken is not None:
            return [RpcRequest(1, "S", "M")]
        return messages


class GivesNoReason(Lines):
    def take(self, line: bytes, messages: list[Message]) -> None:
        super().take(line, messages)
        if line not in (b"one", b"two", b"?"):
            self.broken = Broken("")


class EndsTwice(Lines):
    def end(self) -> list[Message]:
        return [RpcRequest(1, "S", "M")] * 9


class Hoards(Lines):
    def cut(self) -> list[Message]:
        self.limit = 1 << 20
        return super().cut()


class HoardsElsewhere(Lines):
    held = 0

    @property
    def held_bytes(self) -> int:
        return self.held

    def cut(self) -> list[Message]:
        self.held += 100
        return super().cut()


class RaisesAtEnd(Lines):
    def end(self) -> list[Message]:
        raise LookupError("end")


class KeepsAll(Lines):
    def cut(self) -> list[Message]:
        return [] if self.broken is not None else super().cut()

    def take(self, line: bytes, messages: list[Message]) -> None:
        super().take(line, messages)
        if line not in (b"one", b"two", b"?"):
            self.broken = Broken("unknown")


STREAM = b"one\ntwo\n?\none\n" * 3


def test_sound_session_passes() -> None:
    assert len(check_session(Lines, STREAM)) == 9


def test_session_that_leaves_messages_for_later_turns_passes() -> None:
    assert len(check_session(LeavesSome, STREAM)) == 9


@pytest.mark.parametrize(
    ("faulty", "where"),
    [
        (SaysMoreForEver, "cuts nothing"),
        (OutputOfEachRead, "split at"),
        (OneOfEachRead, "split at"),
        (GivesNoReason, "no reason"),
        (KeepsAll, "keeps what comes"),
        (EndsTwice, "ended at"),
        (Hoards, "holds"),
        (HoardsElsewhere, "holds"),
    ],
)
def test_faulty_session_is_caught(faulty: type[Lines], where: str) -> None:
    with pytest.raises(AssertionError, match=where):
        check_session(faulty, STREAM)


def test_session_that_goes_on_after_it_is_broken_is_caught() -> None:
    with pytest.raises(AssertionError, match="goes on after"):
        check_session(GoesOn, b"one\none\n")


def test_session_that_raises_is_caught() -> None:
    with pytest.raises(LookupError, match="end"):
        check_session(RaisesAtEnd, STREAM)


def test_stream_that_breaks_the_session_is_refused() -> None:
    with pytest.raises(AssertionError, match="broken by"):
        check_session(GivesNoReason, b"three\n")


def test_sessions_of_protocols_pass_on_both_sides() -> None:
    check_protocol(JSON_LINES, SAMPLES)
    check_protocol(PLAIN_LINES, SAMPLES)
