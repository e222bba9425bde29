"""Outgoing: how much of it is left."""

from __future__ import annotations

from pybrpc.iobuf import IOBuf
from pybrpc.streams.outgoing import ConsumedWait, Outgoing
from tests.fakes.streams import Ended


def test_what_is_left_is_what_was_not_sent() -> None:
    outgoing = Outgoing((b"1", IOBuf(b"22"), b"333"))
    assert outgoing.size_left() == 6
    outgoing.sent = 1
    assert outgoing.size_left() == 5
    outgoing.sent = 3
    assert outgoing.size_left() == 0
    assert Outgoing(()).size_left() == 0


def test_description() -> None:
    outgoing = Outgoing((b"1", b"2"))
    outgoing.sent = 1
    assert repr(outgoing) == "<Outgoing 1 of 2 messages>"
    outgoing.is_over = True
    assert repr(outgoing) == "<Outgoing 1 of 2 messages, over>"
    assert repr(Outgoing((), is_close=True)) == "<Outgoing close>"


def test_wait_for_the_consumer_is_not_reached_at_first() -> None:
    wait = Ended()
    waiting = ConsumedWait(7, wait)
    assert (waiting.at, waiting.wait, waiting.is_reached) == (7, wait, False)
