"""GopCache: what late players begin with."""

from __future__ import annotations

from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay.gop_cache import AUDIO_ONLY_AFTER, MAX_HEADER_BYTES, GopCache
from pybrpc.rtmp.relay.shared_frames import FRAME_BYTES
from tests.fakes.rtmp_frames import (
    audio_header,
    keyframe,
    metadata,
    picture,
    shared,
    sound,
    text,
    video_header,
)


def add(cache: GopCache, *frames: Frame) -> None:
    for frame in frames:
        cache.add(shared(frame))


def begun(cache: GopCache, timestamp: int = 0) -> list[Frame]:
    frames = cache.beginning(timestamp)
    return [Frame(frame.message_type, frame.payload, frame.timestamp) for frame in frames]


def at(frame: Frame, timestamp: int) -> Frame:
    return Frame(frame.message_type, frame.payload, timestamp)


def test_late_player_gets_metadata_headers_and_all_since_the_last_keyframe() -> None:
    cache = GopCache()
    add(cache, metadata(), video_header(), audio_header(), keyframe(0), sound(10), picture(40))
    add(cache, keyframe(80), sound(90), picture(120), text("hello", 130))

    headers = [at(frame, 80) for frame in (metadata(), video_header(), audio_header())]
    frames = [keyframe(80), sound(90), picture(120), text("hello", 130)]
    assert begun(cache) == headers + frames


def test_headers_alone_have_the_time_of_the_stream() -> None:
    cache = GopCache(keeps_frames=False)
    add(cache, video_header(), keyframe(0))

    assert begun(cache, 700) == [at(video_header(), 700)]
    assert cache.has_video


def test_frames_before_the_first_keyframe_are_not_kept() -> None:
    cache = GopCache()
    add(cache, sound(0), picture(10))

    assert begun(cache) == []


def test_repeated_header_changes_nothing_and_is_not_kept() -> None:
    cache = GopCache()
    add(cache, video_header(), keyframe(0))
    version = cache.version
    add(cache, video_header(), picture(40))

    assert begun(cache) == [video_header(), keyframe(0), picture(40)]
    assert cache.version == version


def test_new_header_drops_the_frames_of_the_old_one() -> None:
    for header, new in (
        (video_header(), video_header(b"b")),
        (audio_header(), audio_header(b"b")),
    ):
        cache = GopCache()
        add(cache, header, keyframe(0), picture(40))
        version = cache.version
        add(cache, new)

        assert begun(cache, 40) == [at(new, 40)]
        assert cache.version != version
        assert cache.size_bytes == 0


def test_first_header_of_audio_may_come_after_the_keyframe() -> None:
    cache = GopCache()
    add(cache, video_header(), keyframe(5), audio_header(), sound(6))

    assert begun(cache) == [at(video_header(), 5), at(audio_header(), 5), keyframe(5), sound(6)]


def test_new_metadata_replaces_the_old() -> None:
    cache = GopCache()
    add(cache, metadata(160), metadata(320))

    assert begun(cache) == [metadata(320)]


def test_stream_of_audio_keeps_no_frames() -> None:
    cache = GopCache()
    add(cache, audio_header(), *[sound(number) for number in range(1000)])

    assert begun(cache, 999) == [at(audio_header(), 999)]
    assert not cache.has_video


def test_stream_whose_video_has_stopped_becomes_one_of_audio() -> None:
    cache = GopCache()
    add(cache, video_header(), keyframe(0))
    add(cache, *[sound(number) for number in range(AUDIO_ONLY_AFTER - 1)])
    assert cache.has_video

    add(cache, sound(AUDIO_ONLY_AFTER))

    assert not cache.has_video
    assert cache.frames == []


def test_group_over_the_limit_of_bytes_is_dropped_until_the_next_keyframe() -> None:
    cache = GopCache(max_bytes=3000 + 2 * FRAME_BYTES)
    add(cache, keyframe(0, 1000), picture(40, 1000))
    assert len(cache.frames) == 2
    add(cache, picture(80, 1000), picture(120))
    assert begun(cache) == []
    assert cache.size_bytes == 0
    add(cache, keyframe(160), picture(200))

    assert begun(cache) == [keyframe(160), picture(200)]


def test_group_over_the_limit_of_frames_is_dropped() -> None:
    cache = GopCache(max_frames=3)
    add(cache, keyframe(0), picture(1), picture(2))
    assert len(cache.frames) == 3
    add(cache, picture(3))

    assert cache.frames == []


def test_size_counts_the_frames_that_are_kept() -> None:
    cache = GopCache()
    add(cache, keyframe(0, 100), picture(40, 50))
    assert cache.size_bytes == sum(frame.size_bytes for frame in cache.frames)
    add(cache, keyframe(80, 10))

    assert cache.size_bytes == cache.frames[0].size_bytes


def test_headers_that_are_too_long_are_not_kept() -> None:
    cache = GopCache()
    add(cache, metadata(), video_header(), audio_header())
    long = bytes(MAX_HEADER_BYTES)
    add(cache, video_header(long), audio_header(long), Frame(18, metadata().payload + long))

    assert begun(cache) == []


def test_restart_forgets_everything() -> None:
    cache = GopCache()
    add(cache, metadata(), video_header(), audio_header(), keyframe(0))
    version = cache.version
    cache.restart()

    assert begun(cache) == []
    assert not cache.has_video
    assert cache.version != version
