"""pybrpc reads the recordings of RTMP: all of rtmp/ as the oracle does, and what programs of
rtmp_pyav/ published is as it should be. docs/verification.md and rtmp_pyav/README.md say how they
were made."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp import (
    AudioFacts,
    ChunkReader,
    ChunkWriter,
    EcmaArray,
    FlvReader,
    FlvWriter,
    HandshakeServer,
    RtmpMessage,
    UserEvent,
    VideoFacts,
    parse_command,
    parse_data,
)
from pybrpc.protocols.rtmp.message import (
    AUDIO,
    COMMAND,
    DATA,
    USER_CONTROL,
    VIDEO,
    set_chunk_size,
    user_control_in,
)
from tests.fakes.rtmp_chunks import bytewise, read_all
from tests.oracles import rtmp_chunks as oracle
from tests.oracles.rtmp_chunks import HANDSHAKE_SIZE

RECORDINGS = Path(__file__).parent
CASES = [("ffmpeg_h264", "h264"), ("ffmpeg_hevc", "hevc"), ("ffmpeg_h264_late", "h264")]
FIRST_LATE_MS = 16_776_720
OF_THE_READER = oracle.SET_CHUNK_SIZE, oracle.ABORT, oracle.WINDOW_ACK_SIZE


def recorded(case: str) -> bytes:
    folder = "rtmp" if case.startswith("rtmpdump") else "rtmp_pyav"
    return (RECORDINGS / folder / f"{case}.client.bin").read_bytes()


def messages_of(stream: bytes, has_digest: bool = True) -> list[RtmpMessage]:
    """The messages behind the handshake."""
    server, buffer = HandshakeServer(), IOBuf(stream)
    assert len(server.receive(buffer)) == 3073
    assert server.is_done
    assert server.has_digest is has_digest
    reader = ChunkReader(received_bytes=len(stream) - len(buffer))
    found = []
    while messages := reader.read(buffer, at_most=7):
        found += messages
    assert reader.broken is None
    assert reader.held_bytes == 0
    assert reader.received_bytes == len(stream)
    return found


def of_type(messages: list[RtmpMessage], kind: int) -> list[RtmpMessage]:
    return [message for message in messages if message.message_type == kind]


@pytest.mark.parametrize("path", sorted((RECORDINGS / "rtmp").glob("*.bin")), ids=lambda p: p.stem)
def test_all_recordings_are_read_as_by_the_oracle(path: Path) -> None:
    """Both sides. SetChunkSize, Abort and WindowAckSize are for the reader itself."""
    stream = path.read_bytes()
    reader, buffer, found = ChunkReader(received_bytes=HANDSHAKE_SIZE), IOBuf(stream), []
    buffer.pop_front(HANDSHAKE_SIZE)
    while messages := reader.read(buffer):
        found += messages
    assert reader.broken is None
    assert (reader.held_bytes, len(buffer)) == (0, 0)
    wanted = [each for each in oracle.messages_of(stream) if each.kind not in OF_THE_READER]
    assert len(wanted) > 3
    assert found == [
        RtmpMessage(each.kind, each.payload, each.stream_id, each.timestamp_ms) for each in wanted
    ]


@pytest.mark.parametrize(("case", "codec"), CASES)
def test_publisher_is_read(case: str, codec: str) -> None:
    messages = messages_of(recorded(case))
    commands = [parse_command(message) for message in of_type(messages, COMMAND)]
    names = "connect releaseStream FCPublish createStream publish FCUnpublish deleteStream"
    assert [command.name for command in commands] == names.split()
    assert [command.transaction_id for command in commands] == [1, 2, 3, 4, 5, 6, 7]
    assert commands[0].command_object["app"] == "live"
    assert commands[4].arguments == ("s", "live")
    assert commands[6].argument(0) == 1.0
    name, event, meta, *_ = parse_data(of_type(messages, DATA)[0])
    assert (name, event) == ("@setDataFrame", "onMetaData")
    assert isinstance(meta, EcmaArray)
    assert (meta["width"], meta["height"], meta["framerate"]) == (64.0, 48.0, 25.0)
    videos = of_type(messages, VIDEO)
    facts = [VideoFacts(message.payload) for message in videos]
    assert {each.codec for each in facts} == {codec}
    assert {each.is_enhanced for each in facts} == {codec == "hevc"}
    assert facts[0].is_sequence_header
    assert sum(each.is_sequence_header for each in facts) == 1
    assert sum(each.is_keyframe for each in facts) == 1
    sounds = [AudioFacts(message.payload) for message in of_type(messages, AUDIO)]
    assert {each.codec for each in sounds} == {"aac"}
    assert [each.is_sequence_header for each in sounds] == [True] + [False] * 42


def test_times_pass_4_hours_38_minutes() -> None:
    late = of_type(messages_of(recorded("ffmpeg_h264_late")), VIDEO)
    early = of_type(messages_of(recorded("ffmpeg_h264")), VIDEO)
    assert [message.payload for message in late] == [message.payload for message in early]
    moved = [message.timestamp + FIRST_LATE_MS for message in early[1:]]
    times = [message.timestamp for message in late]
    assert times[1:26] == moved[:25]
    assert times[1] < 1 << 24 < times[25]


@pytest.mark.parametrize(("case", "codec"), CASES)
def test_pieces_and_chunk_sizes_make_no_difference(case: str, codec: str) -> None:
    stream = recorded(case)
    messages = messages_of(stream)
    behind = stream[1537 + 1536 :]
    assert read_all(ChunkReader(), bytewise(behind)) == messages
    for size in (128, 4096, 60_000):
        writer, frames = ChunkWriter(), IOBuf()
        writer.append(frames, set_chunk_size(size))
        for message in messages:
            writer.append(frames, message, 4 + message.message_type % 4)
        assert read_all(ChunkReader(), [bytes(frames)]) == messages


@pytest.mark.parametrize(("case", "codec"), CASES)
def test_publisher_is_stored_in_a_file(case: str, codec: str) -> None:
    file = io.BytesIO()
    writer = FlvWriter(file)
    written = [message for message in messages_of(recorded(case)) if writer.write(message)]
    tags = list(FlvReader(io.BytesIO(file.getvalue())))
    assert [tag.timestamp for tag in tags] == [message.timestamp for message in written]
    assert parse_data(of_type(tags, DATA)[0])[0] == "onMetaData"


def test_player_of_librtmp_is_read() -> None:
    stream = recorded("rtmpdump_play")
    messages = messages_of(stream, has_digest=False)
    commands = [parse_command(message) for message in of_type(messages, COMMAND)]
    names = [command.name for command in commands]
    assert names == ["connect", "createStream", "FCSubscribe", "play", "deleteStream"]
    assert commands[0].command_object["app"] == "live"
    assert commands[3].arguments[:2] == ("stream", -1000.0)
    events = [user_control_in(message.payload) for message in of_type(messages, USER_CONTROL)]
    assert {event.event for event in events if event} == {UserEvent.SET_BUFFER_LENGTH}
    assert len(messages) == len(commands) + len(events)
    assert read_all(ChunkReader(), bytewise(stream[1537 + 1536 :])) == messages
