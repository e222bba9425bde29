"""Recorder: writes the streams of a relay to FLV files, in one thread of its own.

Turns give frames to a Recording, which queues them, at most `queue_bytes` of memory; a disk that
takes longer ends the recording. A name that a peer has chosen never names a file outside of the
folder: only letters, digits, "-", "_" and "." of it are used, a time stamp follows, and a file is
only ever created, never opened if there is one of that name, not even a symbolic link.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pybrpc.base.guard import Log
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.renewed import renew_in_child
from pybrpc.protocols.rtmp.flv import FlvWriter
from pybrpc.protocols.rtmp.message import U32_MASK, RtmpMessage
from pybrpc.rtmp.relay.shared_frames import SharedFrame

QUEUE_BYTES = 32 * 1024 * 1024
"""Memory of the frames that wait for the disk, in one recording."""

MAX_RECORDINGS = 256
"""Recordings at once. Each has a file, and a peer may publish 32 streams on each connection."""

MAX_QUEUED_FACTOR = 8
"""All recordings together queue so many times as much as one may."""

FLUSH_S = 1.0
"""Frames reach the file at the latest after so many seconds, if any come."""

MAX_NAME = 100
"""Characters of the name of a stream that are used in that of a file."""

_WRITE_BYTES = 256 * 1024
_TRIES = 1000
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_.-]+")

Report = Callable[[str, str, str], None]
"""Called with the kind of an event, the stream, and the file or the error."""


def file_name_of(stream: str, now_s: float, number: int = 0) -> str:
    """The name of the file of a recording that begins now, in the time zone of UTC."""
    safe = _NOT_ALLOWED.sub("_", stream)[:MAX_NAME].lstrip(".-") or "stream"
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_s))
    return f"{safe}-{stamp}{f'-{number}' if number else ''}.flv"


class Recording:
    """One file. `put` and `close` may be called in turns; the thread of the recorder does the rest.

    Timestamps begin with 0, and go on after the 24.8 days that 31 bits of milliseconds last. A
    recording that has failed takes no more frames.
    """

    __slots__ = (
        "_file",
        "_flushed_s",
        "_flv",
        "_last",
        "_recorder",
        "_time",
        "failed",
        "has_ended",
        "queued_bytes",
        "stream",
    )

    def __init__(self, recorder: Recorder, stream: str, failed: bool = False) -> None:
        self._recorder = recorder
        self.stream = stream
        self.failed = failed
        self.has_ended = False
        """Its file is closed; nothing more is written. Belongs to the thread of the recorder."""
        self.queued_bytes = 0
        """Memory of the frames that wait. In the lock of the recorder."""
        self._last = 0
        """The timestamp of the last frame."""
        self._time = 0
        """Milliseconds from the first frame to the last one; less than 0 if that is earlier."""
        self._file: BinaryIO | None = None
        self._flv: FlvWriter | None = None
        self._flushed_s = 0.0

    def put(self, frames: list[SharedFrame]) -> None:
        if self.failed or self._recorder.is_closed:
            return
        size = sum(frame.size_bytes for frame in frames)
        if not self._recorder.count(self, size):
            self._recorder.count(self, -size)
            self.failed = True
            self._recorder.put(self, None, "the disk is too slow")
            return
        self._recorder.put(self, frames)

    def close(self) -> None:
        if not self.failed:
            self._recorder.put(self, None)

    # --- in the thread of the recorder ---

    def write(self, frames: list[SharedFrame]) -> None:
        """Write frames. OSError if that fails."""
        if self._flv is None:
            self._open(frames)
        assert self._flv is not None
        assert self._file is not None
        for frame in frames:
            self._flv.write(self._message_of(frame))
        now_s = time.monotonic()
        if now_s - self._flushed_s >= FLUSH_S:
            self._flushed_s = now_s
            self._file.flush()

    def end(self) -> str:
        """Close the file; return its path, or "" if nothing was written. OSError if that fails."""
        path = self.path
        file, self._file, self._flv = self._file, None, None
        if file is not None:
            file.close()
        return path

    @property
    def path(self) -> str:
        """The path of its file; "" if it has none now."""
        return "" if self._file is None else str(self._file.name)

    def _open(self, frames: list[SharedFrame]) -> None:
        self._file = self._recorder.create(self.stream)
        self._flv = FlvWriter(self._file)
        self._last = frames[0].timestamp
        self._flushed_s = time.monotonic()

    def _message_of(self, frame: SharedFrame) -> RtmpMessage:
        """Timestamps before the first one are 0: of audio that began a little earlier."""
        difference = (frame.timestamp - self._last) & U32_MASK
        self._time += difference - (U32_MASK + 1 if difference > U32_MASK // 2 else 0)
        self._last = frame.timestamp
        return RtmpMessage(frame.message_type, frame.payload, 0, max(0, self._time) & U32_MASK)


class Recorder:
    """Makes recordings in one folder. Its thread begins with the first one."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        report: Report,
        log: Log,
        queue_bytes: int = QUEUE_BYTES,
        max_recordings: int = MAX_RECORDINGS,
    ) -> None:
        """`report` is called in the thread of the recorder, or in that which begins a recording. It
        must not block. NotADirectoryError if there is no such folder."""
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise NotADirectoryError(f"there is no folder {str(self.folder)!r} for recordings")
        self.queue_bytes = queue_bytes
        self.max_recordings = max_recordings
        self.lock = threading.Lock()
        self._queued = 0
        self._open = 0
        """Recordings that have begun and not ended."""
        self._report = report
        self._log = log
        self._refusals = LimitedLog(log)
        self._queue: queue.SimpleQueue[tuple[Recording, list[SharedFrame] | None, str] | None]
        self._queue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.is_closed = False
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child: the recordings, and the thread, are those of the parent."""
        self.lock = threading.Lock()
        self._queue = queue.SimpleQueue()
        self._thread = None
        self.is_closed = True

    def begin(self, stream: str) -> Recording:
        """The recording of a stream that begins now. Its file is made with the first frame. Where
        none can begin, it has failed already, with a log line and a report. Never blocks."""
        with self.lock:
            problem = self._start()
            if not problem and not self.is_closed:
                self._open += 1
        if problem:
            self._refusals.warn("%s is not recorded: %s", stream, problem)
            self._report("recording_failed", stream, problem)
        return Recording(self, stream, failed=bool(problem) or self.is_closed)

    def _start(self) -> str:
        """Start the thread, unless it runs. Return why no recording can begin, or "". With the
        lock."""
        if self._open >= self.max_recordings:
            return f"there are {self._open} recordings already"
        if self._thread is None and not self.is_closed:
            thread = threading.Thread(target=self._run, name="pybrpc-rtmp-recorder", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                return f"no thread can be started: {error}"
            self._thread = thread
        return ""

    def count(self, recording: Recording, size: int) -> bool:
        """Count bytes that wait for the disk, or, if negative, wait no more. False if all that wait
        are too many."""
        with self.lock:
            recording.queued_bytes += size
            self._queued += size
            most = self.queue_bytes
            return recording.queued_bytes <= most and self._queued <= MAX_QUEUED_FACTOR * most

    def put(
        self, recording: Recording, frames: list[SharedFrame] | None, problem: str = ""
    ) -> None:
        """Queue frames, or the end of a recording if they are `None`. Any thread; never blocks."""
        self._queue.put((recording, frames, problem))

    def create(self, stream: str) -> BinaryIO:
        """A new file for a stream. OSError if that fails."""
        now_s = time.time()
        for number in range(_TRIES):
            path = self.folder / file_name_of(stream, now_s, number)
            with suppress(FileExistsError):
                return open(path, "xb", _WRITE_BYTES)
        raise FileExistsError(f"{_TRIES} files like {str(path)!r} exist")

    def close(self, timeout_s: float = 10.0) -> None:
        """End all recordings: what is queued is written first. Waits, at most `timeout_s`."""
        with self.lock:
            self.is_closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout_s)

    def end_nowait(self) -> None:
        """End all recordings, as `close` does. It takes no lock and waits for nothing, so that a
        finalizer may call it."""
        self.is_closed = True
        self._queue.put(None)

    def _run(self) -> None:
        begun: set[Recording] = set()
        while (item := self._queue.get()) is not None:
            recording, frames, problem = item
            if frames is not None:
                self.count(recording, -sum(frame.size_bytes for frame in frames))
            if recording.has_ended:
                continue
            if frames is not None:
                problem = self._write(recording, frames, is_first=recording not in begun)
                begun.add(recording)
            if frames is None or problem:
                begun.discard(recording)
                self._end(recording, problem)
        for recording in begun:
            self._end(recording, "")

    def _write(self, recording: Recording, frames: list[SharedFrame], is_first: bool) -> str:
        """Return why it has failed, or ""."""
        try:
            recording.write(frames)
        except (OSError, ValueError) as error:
            recording.failed = True
            return str(error)
        if is_first:
            self._report("recording", recording.stream, recording.path)
        return ""

    def _end(self, recording: Recording, problem: str) -> None:
        recording.has_ended = True
        with self.lock:
            self._open -= 1
        path = ""
        try:
            path = recording.end()
        except OSError as error:
            problem = problem or str(error)
        if problem:
            self._log.warning("The recording of %s has ended: %s", recording.stream, problem)
            self._report("recording_failed", recording.stream, problem)
        elif path:
            self._report("recorded", recording.stream, path)
