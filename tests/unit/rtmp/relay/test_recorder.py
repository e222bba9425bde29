"""Recorder: FLV files in their folder, whatever peers name their streams, and disks that fail."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from pybrpc.base.guard import SERVER
from pybrpc.protocols.rtmp.flv import FlvReader
from pybrpc.rtmp.relay.recorder import Recorder, file_name_of
from tests.fakes.rtmp_frames import keyframe, metadata, picture, shared, sound
from tests.peers.forking import exit_code_of, fork

LIMIT_S = 30.0


class Reports:
    """The events of a recorder, in order."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, str, str]] = queue.Queue()

    def __call__(self, kind: str, stream: str, text: str) -> None:
        self._queue.put((kind, stream, text))

    def next(self) -> tuple[str, str, str]:
        return self._queue.get(timeout=LIMIT_S)


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def recorder(tmp_path: Path, reports: Reports) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path, reports, SERVER)
    yield recorder
    recorder.close()


def read(path: str | Path) -> list[tuple[int, bytes, int]]:
    with open(path, "rb") as file:
        return [(tag.message_type, tag.payload, tag.timestamp) for tag in FlvReader(file)]


def test_frames_are_in_the_file_from_time_zero(recorder: Recorder, reports: Reports) -> None:
    recording = recorder.begin("live/stream")
    frames = [metadata(), keyframe(5000), sound(4990), picture(5040)]
    recording.put([shared(frames[1])])
    recording.put([shared(frame) for frame in frames[2:]])
    recording.close()

    begun, ended = reports.next(), reports.next()
    assert begun == ("recording", "live/stream", ended[2])
    assert ended[:2] == ("recorded", "live/stream")
    assert [time for _, _, time in read(ended[2])] == [0, 0, 40]
    assert [payload for _, payload, _ in read(ended[2])] == [f.payload for f in frames[1:]]


def test_recording_without_frames_makes_no_file(recorder: Recorder, tmp_path: Path) -> None:
    recorder.begin("live/stream").close()
    recorder.close()

    assert list(tmp_path.iterdir()) == []


def test_close_writes_what_is_queued(recorder: Recorder, tmp_path: Path) -> None:
    recording = recorder.begin("live/stream")
    for number in range(500):
        recording.put([shared(keyframe(number))])
    recorder.close()

    (path,) = tmp_path.iterdir()
    assert len(read(path)) == 500


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("live/stream", "live_stream"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "stream"),
        (".", "stream"),
        ("", "stream"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a\0b\nc", "a_b_c"),
        ("ü/日本", "_"),
        ("C:\\x", "C_x"),
        ("x" * 500, "x" * 100),
    ],
)
def test_names_of_files_have_safe_characters_alone(stream: str, expected: str) -> None:
    assert file_name_of(stream, 0.0) == f"{expected}-19700101-000000.flv"


def test_second_recording_of_a_name_gets_a_file_of_its_own(
    recorder: Recorder, reports: Reports, tmp_path: Path
) -> None:
    for _ in range(3):
        recording = recorder.begin("live/stream")
        recording.put([shared(keyframe(0))])
        recording.close()
    paths = {reports.next()[2] for _ in range(6)}

    assert len(paths) == 3
    assert {Path(path).parent for path in paths} == {tmp_path}


def test_symbolic_link_of_the_name_is_not_followed(
    reports: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, target = tmp_path / "folder", tmp_path / "target"
    folder.mkdir()
    monkeypatch.setattr("pybrpc.rtmp.relay.recorder.time.time", lambda: 0.0)
    (folder / file_name_of("live/stream", 0.0)).symlink_to(target)
    recorder = Recorder(folder, reports, SERVER)
    recording = recorder.begin("live/stream")
    recording.put([shared(keyframe(0))])
    recorder.close()

    assert not target.exists()
    assert len(read(folder / file_name_of("live/stream", 0.0, 1))) == 1


def test_folder_must_exist(tmp_path: Path, reports: Reports) -> None:
    with pytest.raises(NotADirectoryError):
        Recorder(tmp_path / "missing", reports, SERVER)


class BrokenDisk(Recorder):
    """Its files fail at the second write to them."""

    def create(self, stream: str) -> BinaryIO:
        file: Any = open(os.devnull, "wb", 0)  # noqa: SIM115
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, file.fileno())
        os.close(writer)
        return file  # type: ignore[no-any-return]


def test_disk_that_fails_ends_the_recording_alone(
    tmp_path: Path, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = BrokenDisk(tmp_path, reports, SERVER)
    recording = recorder.begin("live/stream")
    recording.put([shared(keyframe(0))])
    kind, stream, text = reports.next()
    recording.put([shared(keyframe(0))])
    recording.close()
    recorder.close()

    assert (kind, stream) == ("recording_failed", "live/stream")
    assert "Broken pipe" in text
    assert recording.failed
    assert "The recording of live/stream has ended" in caplog.text


def record(recorder: Recorder, *times: int) -> None:
    recording = recorder.begin("live/stream")
    for time in times:
        recording.put([shared(keyframe(time))])
    recording.close()


@pytest.mark.parametrize("begin", [0, 5000, 2**32 - 30])
def test_times_go_on_after_25_days(recorder: Recorder, reports: Reports, begin: int) -> None:
    times = [0, 40, 2**31 - 40, 2**31 + 40, 2**31, 2**32 - 1]
    record(recorder, *((begin + time) & 0xFFFFFFFF for time in times))
    reports.next()

    assert [time for _, _, time in read(reports.next()[2])] == times


def test_frame_before_the_first_one_has_the_time_zero(recorder: Recorder, reports: Reports) -> None:
    record(recorder, 100, 2**32 - 100, 90, 140)
    reports.next()

    assert [time for _, _, time in read(reports.next()[2])] == [0, 0, 0, 40]


def test_too_many_recordings_at_once_are_refused(
    tmp_path: Path, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path, reports, SERVER, max_recordings=2)
    first, second, third = (recorder.begin(f"live/{number}") for number in range(3))
    assert (first.failed, second.failed, third.failed) == (False, False, True)
    assert reports.next() == ("recording_failed", "live/2", "there are 2 recordings already")
    assert "live/2 is not recorded: there are 2 recordings already" in caplog.text
    third.put([shared(keyframe(0))])
    third.close()
    for recording in (first, second):
        recording.put([shared(keyframe(0))])
        recording.close()
    assert [reports.next()[0] for _ in range(4)].count("recorded") == 2

    assert not recorder.begin("live/3").failed
    recorder.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_recording_fails_alone_if_no_thread_can_be_started(
    tmp_path: Path, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    recorder = Recorder(tmp_path, reports, SERVER)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert recorder.begin("live/stream").failed
    assert reports.next()[:2] == ("recording_failed", "live/stream")
    record(recorder, 0)
    recorder.close()

    assert len(list(tmp_path.iterdir())) == 1


class StuckDisk(Recorder):
    """Its disk does not answer until `goes_on` is set."""

    goes_on = threading.Event()

    def create(self, stream: str) -> BinaryIO:
        self.goes_on.wait(LIMIT_S)
        return super().create(stream)


def test_disk_that_is_too_slow_ends_the_recording(tmp_path: Path, reports: Reports) -> None:
    recorder = StuckDisk(tmp_path, reports, SERVER, queue_bytes=10_000)
    recording = recorder.begin("live/stream")
    puts = 0
    while not recording.failed and puts < 100:
        recording.put([shared(keyframe(0, 1000))])
        puts += 1
    StuckDisk.goes_on.set()
    recorder.close()

    assert puts < 10, "the queue is bounded"
    assert reports.next()[0] == "recording"
    kind, _, text = reports.next()
    assert (kind, text) == ("recording_failed", "the disk is too slow")


def test_recordings_that_were_too_slow_count_no_more(tmp_path: Path, reports: Reports) -> None:
    """The frames that were refused were never queued."""
    recorder = StuckDisk(tmp_path, reports, SERVER, queue_bytes=10_000)
    for _ in range(30):
        StuckDisk.goes_on.clear()
        recording = recorder.begin("live/stream")
        while not recording.failed:
            recording.put([shared(keyframe(0, 9000))])
        StuckDisk.goes_on.set()
        assert [reports.next()[0] for _ in range(2)] == ["recording", "recording_failed"]
    recording = recorder.begin("live/innocent")
    recording.put([shared(keyframe(0, 9000))])
    recorder.close()

    assert not recording.failed
    assert reports.next()[:2] == ("recording", "live/innocent")


def test_recordings_together_are_bounded(tmp_path: Path, reports: Reports) -> None:
    StuckDisk.goes_on.clear()
    recorder = StuckDisk(tmp_path, reports, SERVER, queue_bytes=10_000)
    recordings = [recorder.begin(f"live/{number}") for number in range(20)]
    for recording in recordings:
        recording.put([shared(keyframe(0, 9000))])
    StuckDisk.goes_on.set()
    recorder.close()

    assert 8 <= sum(not recording.failed for recording in recordings) <= 10


def test_recording_after_close_takes_nothing(recorder: Recorder, tmp_path: Path) -> None:
    recorder.close()
    recording = recorder.begin("live/stream")
    recording.put([shared(keyframe(0))])

    assert recording.failed
    assert list(tmp_path.iterdir()) == []


def test_recording_takes_nothing_once_its_recorder_is_closed(recorder: Recorder) -> None:
    recording = recorder.begin("live/stream")
    recording.put([shared(keyframe(0))])
    recorder.close()
    recording.put([shared(keyframe(40))])
    assert recording.queued_bytes == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_is_not_held_up_by_the_locks_of_its_parent(recorder: Recorder) -> None:
    recording = recorder.begin("live/stream")

    def child() -> None:
        recording.put([shared(keyframe(0))])
        recorder.close()

    with recorder.lock:
        assert exit_code_of(fork(child)) == 0
