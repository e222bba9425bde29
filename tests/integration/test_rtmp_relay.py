"""RtmpRelay between real programs, and with players that are sockets of this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pybrpc.rtmp import Frame
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.rtmp_frames import (
    HEADERS,
    audio_header,
    keyframe,
    picture,
    sound,
    video_header,
)
from tests.fakes.rtmp_relay import RunningRelay
from tests.fakes.threads import wait_until
from tests.peers.flv_files import hevc_pictures, media_of, packets_of, tags_of
from tests.peers.rtmp_load import connect_player
from tests.peers.rtmp_programs import (
    SPEED,
    ffmpeg_player,
    ffmpeg_pusher,
    gst_player,
    gst_pusher,
    make_hevc_source,
    publish,
    pyav_player,
    pyav_pusher,
    rtmpdump_player,
)
from tests.peers.rtmp_sockets import SocketPlayers, SocketPublisher

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the programs are those of Linux"),
]


@pytest.fixture
def relay() -> Iterator[RunningRelay]:
    with RunningRelay() as running:
        yield running


# --- real programs ---


def test_player_that_waits_for_an_answer_when_it_stops_gets_one(
    relay: RunningRelay, source: Path, tmp_path: Path
) -> None:
    """GStreamer's rtmpsrc, of librtmp."""
    copy = tmp_path / "copy.flv"
    with gst_player(relay.url(), copy, "rtmpsrc") as player:
        relay.wait_event("played")
        with ffmpeg_pusher(source, relay.url(), SPEED):
            player.wait_until(lambda: copy.exists() and len(media_of(copy)) > 10, "at tag 10")
            player.interrupt()


def test_all_players_get_the_packets_that_ffmpeg_pushes(
    relay: RunningRelay, source: Path, tmp_path: Path
) -> None:
    """With none lost, and none in another order; rtmp2src leaves the last one out at times."""
    url = relay.url()
    makers = {"ffmpeg": ffmpeg_player, "rtmpdump": rtmpdump_player, "gst": gst_player}
    with ExitStack() as stack:
        players = {
            name: stack.enter_context(make(url, tmp_path / f"{name}.flv"))
            for name, make in makers.items()
        }
        relay.wait_event("played", len(players))
        publish(ffmpeg_pusher(source, url, SPEED))
        for name, player in players.items():
            assert player.wait() in (0, 2), (name, player.log())
    sent = packets_of(source)
    assert packets_of(tmp_path / "ffmpeg.flv") == sent
    assert packets_of(tmp_path / "rtmpdump.flv") == sent
    assert packets_of(tmp_path / "gst.flv") in (sent, sent[:-1])


@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"])
def test_ffmpeg_gets_the_packets_that_gstreamer_pushes(
    relay: RunningRelay, tmp_path: Path, sink: str
) -> None:
    sent, copy = tmp_path / "sent.flv", tmp_path / "copy.flv"
    with rtmpdump_player(relay.url(), copy) as player:
        relay.wait_event("played")
        publish(gst_pusher(sent, relay.url(), seconds=1.0, sink=sink))
        assert player.wait() in (0, 2), player.log()
    assert packets_of(copy) == packets_of(sent)


def test_hevc_of_enhanced_rtmp_passes_in_both_directions(
    relay: RunningRelay, tmp_path: Path
) -> None:
    sent, copy = make_hevc_source(tmp_path / "source.flv", seconds=1.0), tmp_path / "copy.flv"
    with pyav_player(relay.url(), copy) as player:
        relay.wait_event("played")
        publish(pyav_pusher(sent, relay.url()))
        assert player.wait() == 0, player.log()
    assert hevc_pictures(media_of(copy)) == hevc_pictures(media_of(sent))
    assert all(tag.payload[1:5] == b"hvc1" for tag in media_of(copy))


def test_late_player_of_hevc_begins_with_header_and_keyframe(
    relay: RunningRelay, tmp_path: Path
) -> None:
    sent = make_hevc_source(tmp_path / "source.flv", seconds=1.5)
    with pyav_pusher(sent, relay.url()) as pusher:
        relay.wait_event("published")
        wait_until(lambda: relay.stream().frames_in >= 30)
        with SocketPlayers(relay.url(), 1) as players:
            assert relay.stream().codecs == ("hevc",)
            players.read_frames(3)
            video = [frame for frame in players.frames() if frame.kind == "video"]
        pusher.wait()
    assert video[0].is_sequence_header
    assert video[1].is_keyframe
    assert {frame.codec for frame in video} == {"hevc"}


def test_recording_has_the_packets_that_ffmpeg_pushes(
    relay: RunningRelay, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    relay.relay.record(folder)
    publish(ffmpeg_pusher(source, relay.url("live/..%2F..%2Fa b"), SPEED))

    path = Path(relay.wait_event("recorded").text)
    assert path.parent == folder
    assert packets_of(path) == packets_of(source)


def test_players_go_on_when_ffmpeg_publishes_again(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.flv"
    with RunningRelay(reconnect_grace=20.0) as relay:
        # It writes each packet at once; rtmpdump keeps the last ones until its stream ends.
        with gst_player(relay.url(), copy) as player:
            relay.wait_event("played")
            publish(ffmpeg_pusher(source, relay.url(), SPEED))
            relay.wait_event("paused")
            publish(ffmpeg_pusher(source, relay.url(), SPEED))
            relay.wait_event("paused", 2)
            media = media_of(source)
            player.wait_until(lambda: len(media_of(copy)) == 2 * len(media), "at the end")
            assert relay.kinds().count("played") == 1
    played = media_of(copy)
    assert [tag.payload for tag in played] == 2 * [tag.payload for tag in media]
    half = len(media)
    first, second = played[:half], played[half:]
    assert min(tag.timestamp_ms for tag in second[2:]) > max(tag.timestamp_ms for tag in first)


def test_stream_passes_from_relay_to_relay(source: Path, tmp_path: Path) -> None:
    """ffmpeg -> first -push-> second -pull-> third -> rtmpdump. A push begins when a publisher has
    come, with a keyframe."""
    copy = tmp_path / "copy.flv"
    with RunningRelay() as first, RunningRelay() as second, RunningRelay() as third:
        push = first.relay.push(second.url("a/pushed"), "live/stream")
        pull = third.relay.pull(second.url("a/pushed"), "live/pulled")
        second.wait_event("played")
        with rtmpdump_player(third.url("live/pulled"), copy) as player:
            third.wait_event("played")
            publish(ffmpeg_pusher(source, first.url(), SPEED))
            assert player.wait() in (0, 2), player.log()
        sent, got = packets_of(source), packets_of(copy)
        assert len(got) > 50
        assert got == sent[-len(got) :]
        assert got[0].codec_type == "video"
        assert (push.last_error, pull.last_error) == (None, None)
        first.wait_event("left")


# --- sockets ---


def group(number: int, size: int, pictures: int = 5) -> list[Frame]:
    """A keyframe, and pictures and sound that follow it, each with bytes of its own."""
    begin = number * 1000
    frames = [keyframe(begin, size)]
    for at in range(1, pictures):
        frames += [sound(begin + at * 40 - 10, 100 + number), picture(begin + at * 40, size + at)]
    return frames


def total(frames: list[Frame]) -> int:
    return sum(len(frame.payload) for frame in frames)


def test_fifty_players_miss_nothing_beside_one_that_reads_nothing() -> None:
    options = SocketOptions(send_buffer_bytes=32 * 1024)
    limit = 200_000
    with (
        RunningRelay({"options": options}, queue_bytes=limit, gop_cache=False) as relay,
        SocketPlayers(relay.url(), 49) as players,
        connect_player(relay.url()),
        SocketPublisher(relay.url()) as publisher,
    ):
        relay.wait_event("played", 50)
        sent = [*HEADERS]
        publisher.send(HEADERS)
        for number in range(60):
            frames = group(number, 10_000)
            publisher.send(frames)
            sent += frames
            players.read_bytes(total(sent))
            held = [player.queued_bytes for player in relay.stream().players]
            assert max(held) <= limit + total(frames)
        wait_until(lambda: relay.stream().frames_in == len(sent))
        players.read_frames(len(sent))
        for number in range(49):
            assert players.frames(number) == sent
        relay.wait_event("skipping")
        slow = [player for player in relay.stream().players if player.frames_skipped]
        assert len(slow) == 1
        assert slow[0].is_skipping
        assert relay.stream().frames_sent == 49 * len(sent) + slow[0].frames_sent


def test_slow_player_goes_on_with_headers_that_have_changed_and_a_keyframe() -> None:
    options = SocketOptions(send_buffer_bytes=32 * 1024)
    with (
        RunningRelay({"options": options}, queue_bytes=200_000, gop_cache=False) as relay,
        SocketPlayers(relay.url(), 1) as players,
        SocketPublisher(relay.url()) as publisher,
    ):
        relay.wait_event("played")
        publisher.send(HEADERS)
        number = 0
        while "skipping" not in relay.kinds():
            publisher.send(group(number, 20_000))
            number += 1
            assert number < 1000
        publisher.send([video_header(b"new")])
        wait_until(lambda: _frames_in(relay) == len(HEADERS) + number * 9 + 1)
        players.read_until(lambda: relay.stream().players[0].queued_bytes == 0)
        last = group(number, 1000)
        publisher.send(last)
        relay.wait_event("resumed")
        players.read_until(lambda: players.frames()[-1:] == last[-1:])
        got = players.frames()
        new = [Frame(f.message_type, f.payload, last[0].timestamp) for f in HEADERS]
        new[1] = Frame.video(video_header(b"new").payload, last[0].timestamp)
        assert got[-len(last) - 3 :] == new + last
        before = got[: -len(last) - 3]
        expected = [*HEADERS, *(frame for n in range(number) for frame in group(n, 20_000))]
        assert before == expected[: len(before)], "what was sent before is complete, in order"


def test_late_player_begins_with_headers_and_the_last_keyframe(relay: RunningRelay) -> None:
    with SocketPublisher(relay.url()) as publisher:
        publisher.send([*HEADERS, *group(0, 100), *group(1, 100)])
        wait_until(lambda: _frames_in(relay) == 3 + 2 * 9)
        with SocketPlayers(relay.url(), 1) as players:
            relay.wait_event("played")
            publisher.send([picture(1500)])
            expected = [Frame(f.message_type, f.payload, 1000) for f in HEADERS]
            expected += [*group(1, 100), picture(1500)]
            players.read_frames(len(expected))
            assert players.frames() == expected


def test_late_player_without_cache_waits_for_a_keyframe() -> None:
    with (
        RunningRelay(gop_cache=False) as relay,
        SocketPublisher(relay.url()) as publisher,
    ):
        publisher.send([*HEADERS, *group(0, 100)])
        wait_until(lambda: _frames_in(relay) == 12)
        with SocketPlayers(relay.url(), 1) as players:
            relay.wait_event("played")
            publisher.send([picture(500), sound(510)])
            publisher.send(group(1, 100))
            expected = [*(Frame(f.message_type, f.payload, 150) for f in HEADERS), *group(1, 100)]
            players.read_frames(len(expected))
            got = players.frames()
            assert got[3:] == expected[3:]
            assert [frame.payload for frame in got[:3]] == [frame.payload for frame in HEADERS]
            assert "skipping" not in relay.kinds(), "it was not slow"


def _frames_in(relay: RunningRelay) -> int:
    streams = relay.relay.statistics().streams
    return streams[0].frames_in if streams else 0


def test_players_are_told_that_the_stream_has_ended(relay: RunningRelay) -> None:
    with SocketPlayers(relay.url(), 2) as players:
        relay.wait_event("played", 2)
        with SocketPublisher(relay.url()) as publisher:
            publisher.send([*HEADERS, *group(0, 100)])
            wait_until(lambda: _frames_in(relay) == 12)
        players.read_until(lambda: all(players.ended))
        codes = [
            message.values()[3]["code"]
            for message in players.messages(0)
            if message.kind == 20 and message.values()[0] == "onStatus"
        ]
        assert codes[-1] == "NetStream.Play.UnpublishNotify"
        relay.wait_event("left", 2)
    assert relay.relay.statistics().streams == ()


def test_players_wait_for_a_publisher_no_longer_than_the_grace() -> None:
    with (
        RunningRelay(reconnect_grace=0.2) as relay,
        SocketPlayers(relay.url(), 1) as players,
    ):
        relay.wait_event("played")
        with SocketPublisher(relay.url()) as publisher:
            publisher.send([*HEADERS, *group(0, 100)])
            wait_until(lambda: _frames_in(relay) == 12)
        players.read_until(lambda: all(players.ended))
        relay.wait_event("left")
        assert relay.kinds() == ["played", "published", "paused", "unpublished", "left"]


@pytest.mark.parametrize("republish", ["refuse", "replace"])
def test_second_publisher_is_refused_or_replaces_the_first(republish: str) -> None:
    with (
        RunningRelay(republish=republish) as relay,
        SocketPlayers(relay.url(), 1) as players,
        SocketPublisher(relay.url()) as first,
    ):
        relay.wait_event("played")
        first.send([*HEADERS, *group(0, 100)])
        wait_until(lambda: _frames_in(relay) == 12)
        with SocketPublisher(relay.url()) as second:
            if republish == "refuse":
                assert relay.wait_event("refused").text == "it is published already"
                first.send(group(1, 100))
                players.read_frames(21)
                assert players.frames()[12:] == group(1, 100)
            else:
                relay.wait_event("published", 2)
                second.send([*HEADERS, *group(0, 200)])
                players.read_frames(24)
                again = players.frames()[12:]
                assert [f.payload for f in again] == [f.payload for f in [*HEADERS, *group(0, 200)]]
                assert again[3].timestamp > group(0, 100)[-1].timestamp


def test_player_of_an_idle_stream_is_refused_where_that_is_asked_for() -> None:
    with RunningRelay(idle_streams="refuse") as relay:
        with SocketPlayers(relay.url(), 1) as players:
            players.read_until(lambda: b"StreamNotFound" in players.received[0])
            (status,) = (m for m in players.messages(0) if b"onStatus" in m.payload)
            assert status.values()[3]["code"] == "NetStream.Play.StreamNotFound"
        with SocketPublisher(relay.url()) as publisher:
            relay.wait_event("published")
            with SocketPlayers(relay.url(), 1):
                relay.wait_event("played")
            publisher.close()
            relay.wait_event("unpublished")


def test_stream_of_audio_alone_reaches_players_early_and_late(relay: RunningRelay) -> None:
    with SocketPlayers(relay.url(), 1) as early, SocketPublisher(relay.url()) as publisher:
        relay.wait_event("played")
        first = [audio_header(), *(sound(n * 23) for n in range(20))]
        publisher.send(first)
        early.read_frames(len(first))
        with SocketPlayers(relay.url(), 1) as late:
            relay.wait_event("played", 2)
            more = [sound(n * 23) for n in range(20, 30)]
            publisher.send(more)
            early.read_frames(len(first) + len(more))
            late.read_frames(1 + len(more))
            assert early.frames() == first + more
            assert late.frames() == [audio_header_at(19 * 23), *more]
            assert relay.stream().codecs == ("aac",)


def audio_header_at(timestamp: int) -> Frame:
    return Frame.audio(audio_header().payload, timestamp)


def test_pull_of_an_idle_stream_leaves_its_name_to_others() -> None:
    with RunningRelay() as other, RunningRelay() as relay:
        relay.relay.pull(other.url("live/far"), "live/near")
        other.wait_event("played")
        with SocketPublisher(relay.url("live/near")) as publisher:
            relay.wait_event("published")
            other.wait_event("left")
            publisher.send(HEADERS)
        relay.wait_event("unpublished")
        other.wait_event("played", 2)
        with SocketPublisher(other.url("live/far")) as publisher:
            publisher.send(HEADERS)
            relay.wait_event("published", 2)


def test_links_connect_again_when_a_server_comes_back() -> None:
    with RunningRelay() as relay:
        with RunningRelay() as other:
            link = relay.relay.pull(other.url("live/far"), "live/near")
            port = other.port
            other.wait_event("played")
        assert relay.wait_event("pull_failed").stream == "live/near"
        with RunningRelay(port=port) as other, SocketPlayers(relay.url("live/near"), 1) as players:
            other.wait_event("played")
            relay.wait_event("played")
            with SocketPublisher(other.url("live/far")) as publisher:
                frames = [*HEADERS, *group(0, 100)]
                publisher.send(frames)
                players.read_frames(len(frames))
                assert players.frames() == frames
                assert players.received[0].count(b"NetStream.Data.Start") == 1, "that of its server"
            relay.wait_event("unpublished")
        assert link.last_error is None or not link.is_connected


def test_functions_decide_who_may_publish_and_play() -> None:
    asked = []

    def may_publish(request: object) -> bool:
        asked.append(request)
        return getattr(request, "query", "") == "key=1"

    async def may_play(request: object) -> bool:
        asked.append(request)
        return getattr(request, "query", "") == "key=2"

    with RunningRelay(authorize_publish=may_publish, authorize_play=may_play) as relay:
        with SocketPublisher(relay.url("live/s?key=1")) as publisher:
            publisher.send([*HEADERS, *group(0, 100)])
            relay.wait_event("published")
            with (
                SocketPlayers(relay.url("live/s?key=2"), 1) as players,
                SocketPlayers(relay.url("live/s"), 1) as refused,
                SocketPublisher(relay.url("live/s?key=2")),
            ):
                relay.wait_event("refused", 2)
                players.read_frames(12)
                assert [f.payload for f in players.frames()] == [
                    f.payload for f in [*HEADERS, *group(0, 100)]
                ], "frames that came before the decision are not lost"
                refused.read_until(lambda: b"NetStream.Play.Denied" in refused.received[0])
            publisher.close()
        relay.wait_event("unpublished")
    assert {getattr(one, "app", "") for one in asked} == {"live"}
    assert {getattr(one, "name", "") for one in asked} == {"s"}


def test_statistics_describe_streams_and_players(relay: RunningRelay) -> None:
    with SocketPlayers(relay.url(), 2) as players, SocketPublisher(relay.url()) as publisher:
        relay.wait_event("played", 2)
        frames = [*HEADERS, *group(0, 100)]
        publisher.send(frames)
        players.read_frames(len(frames))
        stream = relay.stream()
        assert stream.publisher is not None
        assert stream.codecs == ("h264", "aac")
        assert stream.frames_in == len(frames)
        assert stream.bytes_in == total(frames)
        assert stream.frames_sent == 2 * len(frames)
        assert (stream.frames_skipped, stream.frames_dropped) == (0, 0)
        assert stream.cached_bytes > 0
        assert [player.frames_sent for player in stream.players] == 2 * [len(frames)]


def test_server_that_stops_ends_streams_and_completes_recordings(tmp_path: Path) -> None:
    with RunningRelay(reconnect_grace=60.0) as relay:
        relay.relay.record(tmp_path)
        with SocketPlayers(relay.url(), 1) as players, SocketPublisher(relay.url()) as publisher:
            publisher.send([*HEADERS, *group(0, 100)])
            players.read_frames(12)
            relay.server.stop()
            players.read_until(lambda: all(players.ended))
            relay.server.join()
            relay.relay.close()
    (path,) = tmp_path.iterdir()
    assert [tag.payload for tag in tags_of(path)] == [
        frame.payload for frame in [*HEADERS, *group(0, 100)]
    ]
    assert relay.relay.statistics().streams == ()
