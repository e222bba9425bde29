"""Chooser: the protocol of a connection is that of its first bytes, or the one that TLS names."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.chooser import Chooser, new_server_session
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import Message, RpcRequest
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.ordered_session import OrderedSession
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Session, follow
from pybrpc.testing.check_session import check_session
from tests.peers.line_protocols import JSON_LINES, PLAIN_LINES

LIMITS = ParseLimits()
ALL: tuple[Any, ...] = (BAIDU_STD, HULU_PBRPC, JSON_LINES, PLAIN_LINES)
REQUEST = RpcRequest(1, "a.B", "C", b"some body that is longer than the bytes that are looked at")


def packed(protocol: Any) -> bytes:
    message = REQUEST
    if protocol is HULU_PBRPC:
        message = RpcRequest(1, "B", "C", REQUEST.body, compress_type=0)
    return bytes(protocol.pack_request(message))


def cut(session: Session, data: bytes) -> tuple[Session, list[Message]]:
    session.buffer.append(data)
    messages = session.cut()
    session = follow(session, messages)
    return session, messages


def test_frames_that_share_connections_need_no_chooser() -> None:
    assert type(new_server_session(LIMITS, [BAIDU_STD, JSON_LINES])) is MessageCutter
    assert type(new_server_session(LIMITS, ALL)) is Chooser


@pytest.mark.parametrize("protocol", ALL, ids=lambda each: each.name)
def test_session_that_is_not_chosen_yet_passes_the_checks_of_every_session(protocol: Any) -> None:
    data = packed(protocol) * 3
    assert len(check_session(lambda limits: Chooser(limits, ALL), data)) == 3


@pytest.mark.parametrize("protocol", ALL, ids=lambda each: each.name)
@pytest.mark.parametrize("size", [1, 2, 5, 27, 28, 1000])
def test_protocol_is_found_however_its_bytes_come(protocol: Any, size: int) -> None:
    session: Session = Chooser(LIMITS, ALL)
    data, found = packed(protocol) * 2, []
    for start in range(0, len(data), size):
        session, messages = cut(session, data[start : start + size])
        found += messages
    kind = OrderedSession if protocol is PLAIN_LINES else MessageCutter
    assert type(session) is kind
    assert session.protocol is protocol
    assert [each.body for each in found] == [REQUEST.body] * 2  # type: ignore[union-attr]
    assert not session.buffer


def test_frames_of_other_protocols_may_follow_those_that_share_connections() -> None:
    session, messages = cut(Chooser(LIMITS, ALL), b"".join(map(packed, ALL[:3])))
    packers = [each.packer for each in messages]  # type: ignore[union-attr]
    assert packers == [None, HULU_PBRPC, JSON_LINES]
    session, messages = cut(session, packed(PLAIN_LINES))
    assert session.broken is not None


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n", b"\0" * 100, b"PRPX", b"CALM"])
def test_garbage_is_nobodys(garbage: bytes) -> None:
    session, messages = cut(Chooser(LIMITS, ALL), garbage)
    assert messages == []
    assert session.broken is not None
    assert session.broken.reason.startswith(f"no known protocol starts with {garbage[:16]!r}")
    assert not session.buffer
    assert cut(session, packed(BAIDU_STD))[1] == []
    assert not session.buffer


def test_nothing_is_decided_while_several_are_possible() -> None:
    session, _ = cut(Chooser(LIMITS, ALL), b"")
    assert session.broken is None
    session, _ = cut(session, b"CALL")
    assert type(session) is Chooser
    assert session.unfinished_bytes == 4


def test_tls_names_the_protocol_before_the_first_byte() -> None:
    chooser = Chooser(LIMITS, ALL)
    chooser.choose_by_alpn("plain-lines")
    session, messages = cut(chooser, packed(PLAIN_LINES)[:3])
    assert type(session) is OrderedSession
    assert messages == []


@pytest.mark.parametrize("alpn", [None, "h2", ""])
def test_name_that_no_protocol_has_decides_nothing(alpn: str | None) -> None:
    chooser = Chooser(LIMITS, ALL)
    chooser.choose_by_alpn(alpn)
    assert chooser.successor is None
    session, _ = cut(chooser, packed(BAIDU_STD))
    assert session.protocol is BAIDU_STD
