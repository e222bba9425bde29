"""RtmpSession of a server: the contract of sessions, and the events of its handshake."""

from __future__ import annotations

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.built_in import framed_protocols
from pybrpc.protocols.chooser import new_server_session
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.message import (
    VIDEO,
    RtmpMessage,
    UserEvent,
    set_chunk_size,
    set_peer_bandwidth,
    user_control,
)
from pybrpc.protocols.rtmp.rtmp_protocol import RtmpProtocol
from pybrpc.protocols.rtmp.session import (
    MAX_PINGS_PER_CUT,
    MAX_WINDOWS_PER_CUT,
    HandshakeEvent,
    RtmpSession,
)
from pybrpc.protocols.session import Session, Side, follow
from pybrpc.protocols.traits import Detection
from pybrpc.testing.check_session import check_session

HANDSHAKE = b"\x03" + bytes(2 * 1536)
PROTOCOL = RtmpProtocol()


def server_session(limits: ParseLimits | None = None) -> Session:
    return PROTOCOL.new_session(Side.SERVER, limits or ParseLimits())


def packed(*messages: RtmpMessage) -> bytes:
    data, writer = IOBuf(), ChunkWriter()
    for message in messages:
        writer.append(data, message, 2 if message.stream_id == 0 else 6)
    return bytes(data)


def fed(session: Session, data: bytes) -> list[object]:
    session.buffer.append(data)
    return list(session.cut())


def test_session_keeps_the_contract_after_the_handshake() -> None:
    stream = packed(
        Command("connect", 1.0, {"app": "live"}).pack(),
        set_chunk_size(64),
        RtmpMessage(VIDEO, b"p" * 150, 1, 40),
        user_control(UserEvent.PING_REQUEST, 7),
        set_peer_bandwidth(5000),
    )

    def make(limits: ParseLimits) -> Session:
        return PROTOCOL.new_session(Side.CLIENT, limits)

    messages = check_session(make, stream, head_bytes=4096, table_bytes=4096)
    assert [message.message_type for message in messages] == [20, VIDEO]  # type: ignore[union-attr]


def test_handshake_gives_the_same_in_any_pieces() -> None:
    stream = HANDSHAKE + packed(Command("connect", 1.0).pack())
    whole = fed(server_session(), stream)
    assert whole[:2] == [HandshakeEvent.BEGUN, HandshakeEvent.DONE]
    assert len(whole) == 3
    for at in (0, 1, 2, 1536, 1537, 1538, 3072, 3073, 3074, len(stream)):
        session = server_session()
        found = fed(session, stream[:at]) + fed(session, stream[at:])
        assert found == whole, at
    session = server_session()
    assert [each for byte in stream for each in fed(session, bytes((byte,)))] == whole


def test_handshake_is_answered_at_its_first_block() -> None:
    session = server_session()
    assert fed(session, b"\x03") == [HandshakeEvent.BEGUN]
    assert (session.bytes_wanted(), session.unfinished_bytes) == (1536, 1)
    assert not session.output
    assert fed(session, bytes(1536)) == []
    assert len(session.output) == 1 + 2 * 1536


def test_handshake_of_another_version_breaks() -> None:
    session = server_session()
    assert fed(session, b"\x06" + bytes(1536)) == [HandshakeEvent.BEGUN]
    assert session.broken is not None
    assert fed(session, HANDSHAKE) == []
    assert not session.buffer


def test_pings_are_answered_but_not_a_flood() -> None:
    ping = user_control(UserEvent.PING_REQUEST, 7)
    session = PROTOCOL.new_session(Side.CLIENT, ParseLimits())
    assert fed(session, packed(*[ping] * MAX_PINGS_PER_CUT)) == []
    assert len(session.output) == MAX_PINGS_PER_CUT * (12 + 6)
    assert session.broken is None
    fed(session, packed(*[ping] * (MAX_PINGS_PER_CUT + 1)))
    assert session.broken is not None


def test_bandwidths_are_answered_but_not_a_flood() -> None:
    session = PROTOCOL.new_session(Side.CLIENT, ParseLimits())
    windows = [set_peer_bandwidth(10_000 + number) for number in range(MAX_WINDOWS_PER_CUT + 1)]
    assert fed(session, packed(*windows[1:])) == []
    assert session.broken is None
    assert len(session.output) == MAX_WINDOWS_PER_CUT * (12 + 4)
    fed(session, packed(*windows))
    assert session.broken is not None
    assert "bandwidths at once" in session.broken.reason


def test_flood_of_messages_of_a_byte_breaks_early() -> None:
    """Each byte is a chunk of fmt 3 that is a message without payload."""
    session = server_session()
    flood = packed(RtmpMessage(VIDEO, b"", 1, 0)) + b"\xc6" * 65_000
    fed(session, HANDSHAKE)
    messages = fed(session, flood)
    assert session.broken is not None
    assert "messages in" in session.broken.reason
    assert messages == []
    assert session.reader.held_bytes + len(session.buffer) < len(flood)  # type: ignore[attr-defined]


def test_many_short_messages_are_no_flood() -> None:
    """Silence, in AAC, is a few bytes a frame."""
    session = server_session()
    fed(session, HANDSHAKE)
    frames = [RtmpMessage(VIDEO, b"silence!", 1, time) for time in range(4000)]
    assert len(fed(session, packed(*frames))) == 4000
    assert session.broken is None


def test_limits_of_the_server_hold() -> None:
    session = server_session(ParseLimits(max_body_size=100))
    fed(session, HANDSHAKE + packed(RtmpMessage(VIDEO, bytes(101), 1)))
    assert session.broken is not None


def test_protocol_is_found_by_its_first_byte() -> None:
    assert PROTOCOL.detect(b"\x03") is Detection.YES
    assert PROTOCOL.detect(b"PRPC") is Detection.NO
    chooser = new_server_session(ParseLimits(), [*framed_protocols(), PROTOCOL])
    chooser.buffer.append(HANDSHAKE[:1])
    messages = chooser.cut()
    session = follow(chooser, messages)
    assert isinstance(session, RtmpSession)
    assert messages == [HandshakeEvent.BEGUN]  # type: ignore[comparison-overlap]
