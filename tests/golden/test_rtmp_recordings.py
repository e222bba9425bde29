"""The recordings of RTMP are complete, and say what docs/verification.md and their index say.

`tests.oracles.rtmp_chunks` and `tests.oracles.rtmp_handshake` read them, which are not pybrpc's own
readers: test_rtmp_readers.py has those.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.oracles.rtmp_chunks import (
    ACK,
    AUDIO,
    COMMAND,
    HANDSHAKE_SIZE,
    SET_CHUNK_SIZE,
    VIDEO,
    WINDOW_ACK_SIZE,
    Message,
    messages_of,
)
from tests.oracles.rtmp_handshake import digest_of, is_answer_to

pytestmark = pytest.mark.same_everywhere
FOLDER = Path(__file__).parent / "rtmp"
INDEX: list[dict[str, Any]] = json.loads((FOLDER / "recordings.json").read_text())
CASES = [entry["case"] for entry in INDEX]
SIDES = ("client", "server")
LARGEST = 200_000
PUSH = ["connect", "createStream", "publish"]
PLAY = ["connect", "createStream", "play"]


def sent_by(side: str, case: str) -> bytes:
    return (FOLDER / f"{case}.{side}.bin").read_bytes()


def messages(side: str, case: str) -> list[Message]:
    return list(messages_of(sent_by(side, case)))


def payloads(side: str, case: str, kind: int) -> list[bytes]:
    return [message.payload for message in messages(side, case) if message.kind == kind]


def commands(side: str, case: str) -> list[list[Any]]:
    return [message.values() for message in messages(side, case) if message.kind == COMMAND]


def test_index_names_all_files_and_their_sizes() -> None:
    named = {f"{case}.{side}.bin" for case in CASES for side in SIDES}
    assert {path.name for path in FOLDER.glob("*.bin")} == named
    for entry in INDEX:
        assert all(entry[name] for name in ("program", "command", "server"))
        for side in SIDES:
            size = len(sent_by(side, entry["case"]))
            assert size < LARGEST
            assert size == entry[f"{side}_bytes"]
            assert size == sum(count for name, count in entry["turns"] if name == side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("case", CASES)
def test_recording_ends_with_a_whole_message(case: str, side: str) -> None:
    data = sent_by(side, case)
    assert data[0] == 3
    assert messages(side, case)[-1].end == len(data)


def blocks(side: str, case: str) -> tuple[bytes, bytes]:
    """C1 and C2, or S1 and S2."""
    data = sent_by(side, case)
    return data[1:1537], data[1537:HANDSHAKE_SIZE]


@pytest.mark.parametrize("case", [case for case in CASES if case[:6] in ("ffmpeg", "pyav_h")])
def test_ffmpeg_and_nginx_shake_hands_with_digests(case: str) -> None:
    """FFmpeg answers with a digest when it plays, and with an echo when it publishes."""
    (c1, c2), (s1, s2) = blocks("client", case), blocks("server", case)
    of_client, of_server = digest_of(c1, is_server=False), digest_of(s1, is_server=True)
    assert of_client is not None
    assert of_server is not None
    assert of_client.schema == of_server.schema == 1
    assert is_answer_to(of_client, s2, is_server=True)
    assert is_answer_to(of_server, c2, is_server=False) == ("play" in case)
    assert (c2 == s1) == ("push" in case)


@pytest.mark.parametrize("case", [case for case in CASES if case[:3] in ("rtm", "gst")])
def test_librtmp_and_gstreamer_shake_hands_simply(case: str) -> None:
    """nginx sends them their own block as its S1. GStreamer sets the time of reading in its C2."""
    (c1, c2), (s1, s2) = blocks("client", case), blocks("server", case)
    assert digest_of(c1, is_server=False) is None
    assert digest_of(s1, is_server=True) is None
    assert c1[4:8] == bytes(4)
    assert c1 == s1 == s2
    assert (c2[:4], c2[8:]) == (s1[:4], s1[8:])
    assert (c2[4:8] == bytes(4)) == ("rtmp2" not in case)


@pytest.mark.parametrize("case", CASES)
def test_program_connects_makes_a_stream_and_uses_it(case: str) -> None:
    expected = PUSH if "push" in case else PLAY
    names = [values[0] for values in commands("client", case)]
    assert [name for name in names if name in expected] == expected
    results = [values for values in commands("server", case) if values[0] == "_result"]
    assert [values[1] for values in results] == [
        values[1] for values in commands("client", case) if values[0] in expected[:2]
    ]
    assert results[1][3] == 1  # the id of the stream


@pytest.mark.parametrize("case", ["ffmpeg_play", "rtmpdump_play", "gst_rtmp2_play"])
@pytest.mark.parametrize("kind", [AUDIO, VIDEO])
def test_nginx_passes_payloads_on_unchanged(case: str, kind: int) -> None:
    pushed = payloads("client", "ffmpeg_push", kind)
    assert len(pushed) > 50
    assert payloads("server", case, kind) == pushed


@pytest.mark.parametrize(("case", "size"), [("ffmpeg_push", 4096), ("ffmpeg_push_late", 128)])
def test_ffmpeg_takes_the_chunk_size_of_the_server_over(case: str, size: int) -> None:
    assert payloads("server", case, SET_CHUNK_SIZE) == [size.to_bytes(4)]
    assert payloads("client", case, SET_CHUNK_SIZE) == [size.to_bytes(4)]


def test_gstreamer_keeps_chunks_of_128_bytes() -> None:
    assert payloads("client", "gst_rtmp2_push", SET_CHUNK_SIZE) == [(128).to_bytes(4)]
    longest = max(messages("client", "gst_rtmp2_push"), key=lambda message: len(message.payload))
    assert len(longest.payload) > 1000
    assert longest.formats[1:] == [3] * ((len(longest.payload) - 1) // 128)


@pytest.mark.parametrize(
    ("side", "case"),
    [
        ("client", "ffmpeg_push_late"),
        ("server", "ffmpeg_play_late"),
        ("server", "rtmpdump_play_late"),
    ],
)
def test_extended_time_delta_is_repeated_in_each_chunk_of_its_message(side: str, case: str) -> None:
    """FFmpeg and nginx both do so. The oracle would lose its place if they did not."""
    first = next(each for each in messages(side, case) if each.timestamp_ms > 2**24)
    assert first.formats == [1, 3]
    extended = first.timestamp_ms.to_bytes(4)
    end = first.end - (len(first.payload) - 128)
    assert sent_by(side, case)[end - 4 : end] == extended
    assert sent_by(side, case)[end - 133 - 4 : end - 133] == extended


def test_hevc_of_pyav_has_the_form_of_enhanced_rtmp() -> None:
    frames = payloads("client", "pyav_hevc_push", VIDEO)
    assert len(frames) > 50
    assert all(frame[0] & 0x80 and frame[1:5] == b"hvc1" for frame in frames)


def test_chunk_of_format_3_that_begins_a_message_repeats_the_time_delta() -> None:
    frames = [each for each in messages("client", "pyav_hevc_push") if each.kind == VIDEO]
    assert any(frame.formats[0] == 3 for frame in frames)
    times = [frame.timestamp_ms for frame in frames if frame.payload[0] & 15 in (1, 3)]
    assert times == list(range(0, 2000, 40))


@pytest.mark.parametrize(
    ("case", "not_counted"),
    [
        ("ffmpeg_play_acks", HANDSHAKE_SIZE),
        ("gst_rtmp2_play_acks", HANDSHAKE_SIZE),
        ("rtmpdump_play_acks", 0),
    ],
)
def test_players_acknowledge_within_two_windows(case: str, not_counted: int) -> None:
    """librtmp alone counts the handshake."""
    window = int.from_bytes(payloads("server", case, WINDOW_ACK_SIZE)[0])
    acks = [message for message in messages("client", case) if message.kind == ACK]
    counts = [int.from_bytes(ack.payload) + not_counted for ack in acks]
    assert counts == sorted(counts)
    assert counts[-1] <= len(sent_by("server", case))
    assert len(sent_by("server", case)) - counts[-1] < 2 * window


def test_librtmp_begins_a_chunk_stream_with_a_chunk_of_format_1() -> None:
    first = next(
        each for each in messages("client", "rtmpdump_play_acks") if each.chunk_stream == 2
    )
    assert (first.kind, first.formats) == (ACK, [1])


def test_nginx_acknowledges_only_to_a_publisher_that_announces_a_window() -> None:
    for case, is_acknowledged in (("gst_rtmp2_push_acks", True), ("ffmpeg_push_acks", False)):
        assert bool(payloads("client", case, WINDOW_ACK_SIZE)) == is_acknowledged
        assert bool(payloads("server", case, ACK)) == is_acknowledged
