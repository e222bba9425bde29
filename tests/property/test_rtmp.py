"""RTMP: AMF0, chunks and FLV files come back as they were written, in any pieces; and any bytes are
survived."""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp.amf0 import (
    UNDEFINED,
    AmfDate,
    AmfError,
    EcmaArray,
    TypedObject,
    decode,
    encode,
)
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.flv import FlvError, FlvReader, FlvWriter
from pybrpc.protocols.rtmp.handshake import HandshakeClient, HandshakeServer
from pybrpc.protocols.rtmp.media import AudioFacts, VideoFacts
from pybrpc.protocols.rtmp.message import RtmpMessage, set_chunk_size
from tests.fakes.rtmp_chunks import read_all

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
doubles = st.floats(allow_nan=False)
leaves = (
    doubles
    | st.booleans()
    | text
    | st.just("long" * 20_000)
    | st.none()
    | st.just(UNDEFINED)
    | st.builds(AmfDate, doubles, st.integers(-(1 << 15), (1 << 15) - 1))
)


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(text, values, max_size=3)
    return (
        st.lists(values, max_size=3)
        | members
        | st.builds(EcmaArray, members)
        | st.builds(TypedObject, text, members)
    )


values = st.recursive(leaves, containers, max_leaves=12)


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types: an object is no ECMA array, and True is no 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        keys = list(one) == list(other)
        return keys and one == other and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return bool(one == other)


@given(st.lists(values, max_size=3))
def test_amf0_comes_back(given_values: list[Any]) -> None:
    assert same(decode(encode(*given_values)), given_values)


@given(st.lists(values, max_size=2), st.integers(0, 300), st.integers(0, 255))
def test_changed_amf0_is_read_or_refused(given_values: list[Any], at: int, byte: int) -> None:
    data = bytearray(encode(*given_values)[:1000])
    if data:
        data[at % len(data)] = byte
    survive_amf0(bytes(data))


@given(st.binary(max_size=60))
def test_any_bytes_are_amf0_or_refused(data: bytes) -> None:
    survive_amf0(data)


def survive_amf0(data: bytes) -> None:
    """Read it, if it can be: then it is written so that the same is read again."""
    try:
        read = decode(data)
    except AmfError:
        return
    again = encode(*read)
    assert encode(*decode(again)) == again


times = st.integers(0, 100) | st.integers(0, (1 << 32) - 1) | st.integers(0xFFFFFA, 0x1000005)
messages = st.builds(
    RtmpMessage,
    st.sampled_from([4, 8, 9, 18, 20, 255]),
    st.binary(max_size=20) | st.binary(min_size=100, max_size=700),
    st.sampled_from([0, 1, 0xFFFFFFFF]),
    times,
)
chunk_stream_ids = st.sampled_from([2, 3, 63, 64, 319, 320, 65_599])
sent = st.lists(
    st.tuples(messages, chunk_stream_ids)
    | st.tuples(st.sampled_from([1, 2, 127, 128, 300, 60_000]).map(set_chunk_size), st.just(2)),
    max_size=8,
)
cuts = st.lists(st.integers(0, 3000), max_size=10)


def pieces_of(stream: bytes, cut_at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cut_at), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@given(sent, cuts, st.integers(1, 5))
def test_messages_come_back_in_any_pieces(
    given_messages: list[tuple[RtmpMessage, int]], cut_at: list[int], at_most: int
) -> None:
    writer, frames = ChunkWriter(), IOBuf()
    for message, chunk_stream_id in given_messages:
        writer.append(frames, message, chunk_stream_id)
    reader = ChunkReader()
    found = read_all(reader, pieces_of(bytes(frames), cut_at), at_most)
    assert found == [message for message, _ in given_messages if message.message_type != 1]
    assert reader.broken is None
    assert reader.held_bytes == 0
    assert reader.received_bytes == len(frames)


@given(st.binary(max_size=300), cuts)
@example(b"\x06\0\0\0\0\0\1\x09\1\0\0\0\xc6", [])
def test_any_chunks_give_one_result_in_any_pieces(stream: bytes, cut_at: list[int]) -> None:
    outcomes = []
    for pieces in ([stream], pieces_of(stream, cut_at), [bytes((byte,)) for byte in stream]):
        reader = ChunkReader(max_message_bytes=1000, max_partial_bytes=2000)
        found = read_all(reader, pieces)
        outcomes.append((found, reader.broken, reader.held_bytes))
        assert reader.held_bytes <= len(stream)
    assert outcomes[0] == outcomes[1] == outcomes[2]


media_messages = st.builds(
    RtmpMessage, st.sampled_from([8, 9]), st.binary(max_size=300), st.just(0), times
)


@given(st.lists(media_messages, max_size=5), st.integers(0, 2000))
def test_flv_comes_back_up_to_where_it_was_cut(given_messages: list[Any], size: int) -> None:
    file = io.BytesIO()
    writer = FlvWriter(file)
    file.write(writer.take_header())
    for message in given_messages:
        writer.write(message)
    data = file.getvalue()
    assert list(FlvReader(io.BytesIO(data))) == given_messages
    if size >= 13:
        read = list(FlvReader(io.BytesIO(data[:size])))
        assert read == given_messages[: len(read)]


@given(st.binary(max_size=100))
def test_any_bytes_are_an_flv_file_or_refused(data: bytes) -> None:
    for each in (data, b"FLV\x01\x05\x00\x00\x00\x09" + data):
        try:
            read = list(FlvReader(io.BytesIO(each)))
        except FlvError:
            continue
        assert sum(11 + len(message.payload) for message in read) <= len(each)


@given(st.binary(max_size=40))
def test_any_payload_has_facts(payload: bytes) -> None:
    for facts in (AudioFacts(payload), VideoFacts(payload)):
        assert facts.is_empty is (not payload)
        assert repr(facts)


@given(st.binary(min_size=1, max_size=2), st.booleans(), st.integers(0, 1))
def test_handshakes_agree(piece: bytes, uses_digest: bool, schema: int) -> None:
    client, server = HandshakeClient(uses_digest, schema), HandshakeServer()
    assert piece[:1] == b"\x03" or server.receive(IOBuf(piece)) == b""
    server = HandshakeServer()
    buffer = IOBuf(client.start())
    answer = IOBuf(server.receive(buffer))
    buffer.append(client.receive(answer) + piece)
    server.receive(buffer)
    assert client.is_done
    assert server.is_done
    assert server.has_digest is client.has_digest is uses_digest
    assert buffer == piece
