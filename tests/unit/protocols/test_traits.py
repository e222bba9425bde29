"""Traits: the defaults of a plain RpcProtocol, and how first bytes are judged."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.ordered_session import OrderedSession
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.sofa import SOFA_PBRPC
from pybrpc.protocols.traits import (
    MAX_DETECT_BYTES,
    Detection,
    alpn_names,
    carries_credential,
    carries_trace,
    detection_by_magic,
    detection_of,
    is_ordered,
    kind_of,
    new_session,
    sends_method_index,
    takes_blocks,
)
from tests.peers.line_protocols import JSON_LINES, PLAIN_LINES

YES, NO, NEED_MORE = Detection.YES, Detection.NO, Detection.NEED_MORE
FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(7, "service", "method", b"a body")))


class Greedy:
    """A protocol that never knows enough, and sees all that it is given."""

    name = kind = "greedy"

    def __init__(self) -> None:
        self.seen: list[int] = []

    def detect(self, first: bytes) -> Detection:
        self.seen.append(len(first))
        return NEED_MORE

    def new_session(self, side: Side, limits: ParseLimits) -> Session:
        return Session(self)


def test_protocols_of_this_package_have_the_traits_that_they_need() -> None:
    every = (BAIDU_STD, HULU_PBRPC, SOFA_PBRPC)
    assert [kind_of(each) for each in every] == ["rpc"] * 3
    assert [is_ordered(each) for each in every] == [False] * 3
    assert [sends_method_index(each) for each in every] == [False, True, False]
    assert [carries_credential(each) for each in every] == [True, True, False]
    assert [carries_trace(each) for each in every] == [True, True, False]
    assert [takes_blocks(each) for each in every] == [True, False, False]
    assert [alpn_names(each) for each in every] == [()] * 3


def test_ordered_protocol_is_a_kind_of_its_own() -> None:
    assert kind_of(PLAIN_LINES) == "plain_lines"
    assert kind_of(JSON_LINES) == "rpc"
    assert alpn_names(PLAIN_LINES) == ("plain-lines",)


def test_plain_protocol_is_detected_by_parsing() -> None:
    assert detection_of(BAIDU_STD, b"P") is NEED_MORE
    assert detection_of(BAIDU_STD, FRAME[:27]) is NEED_MORE
    assert detection_of(BAIDU_STD, FRAME[:28]) is YES
    assert detection_of(BAIDU_STD, FRAME) is YES
    assert detection_of(BAIDU_STD, b"GET") is NO
    assert detection_of(BAIDU_STD, FRAME[:8] + b"\xff" * 4) is YES, "and broken"


def test_protocol_with_a_magic_is_detected_by_it() -> None:
    found = [detection_by_magic(b"CALL ", first) for first in (b"C", b"CALL", b"CALL x", b"CALM")]
    assert found == [NEED_MORE, NEED_MORE, YES, NO]
    assert detection_of(PLAIN_LINES, b"CALL ") is YES


def test_no_more_than_28_bytes_are_looked_at() -> None:
    greedy = Greedy()
    assert detection_of(greedy, bytes(27)) is NEED_MORE
    assert detection_of(greedy, bytes(1000)) is NO
    assert greedy.seen == [27, MAX_DETECT_BYTES]


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [(BAIDU_STD, MessageCutter), (JSON_LINES, MessageCutter), (PLAIN_LINES, OrderedSession)],
)
def test_session_is_made_for_the_protocol(protocol: Any, kind: type[Session]) -> None:
    for side in Side:
        session = new_session(protocol, side, ParseLimits())
        assert type(session) is kind
        assert session.protocol is protocol


def test_protocol_may_make_its_session_itself() -> None:
    greedy = Greedy()
    assert new_session(greedy, Side.CLIENT, ParseLimits()).protocol is greedy
    assert kind_of(greedy) == "greedy"


def test_client_skips_what_is_too_long_and_a_server_does_not() -> None:
    frame = bytes(BAIDU_STD.pack_request(RpcRequest(7, "service", "method", bytes(1000))))
    for side in Side:
        session = new_session(BAIDU_STD, side, ParseLimits(max_body_size=100))
        session.buffer.append(frame)
        session.cut()
        assert (session.broken is None) == (side is Side.CLIENT)
