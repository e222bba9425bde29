"""DumpWriter: samples requests, and writes them in a thread of its own.

Requests are sampled in turns of the dispatcher, which has no time for files: there they are only
put into a queue, bounded in bytes. What does not fit is dropped and counted. A file that can't be
written is left, and the next one tried; no call fails for it.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import stat
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

from pybrpc.base.guard import deliver_interrupt
from pybrpc.base.writer_thread import WriterThread
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.rpc_dump.dump_format import head_of
from pybrpc.server.rpc_dump.rpc_dump import SAMPLING, RpcDump
from pybrpc.tracing.sampler import Sampler

PREFIX = "requests."
PAUSE_S = 0.1
"""Seconds in which requests gather."""
PAUSE_AFTER_ERROR_S = 1.0
"""Seconds for which nothing is written after an error, such as a full disk."""
NAME = re.compile(r"requests\.\d{8}_\d{6}_\d{6}")
"""The names of files that are written here, and so may be removed."""
SHARED_BYTES = 64 * 1024
"""From this size on memory is shared with the request, below it copied: a few bytes would keep a
whole block of received bytes."""
ENTRY_BYTES = 512
"""Memory that a request needs beside its body and attachment."""


class SampledCall(Protocol):
    """A ServerCall, as this module sees it."""

    request: RpcRequest


class Waiting(NamedTuple):
    """A request in the queue."""

    service: str
    method: str
    compress_type: int
    body: bytes | bytearray | memoryview
    attachment: bytes | IOBuf
    size_bytes: int


class DumpWriter(WriterThread[Waiting]):
    """The queue and its thread. `sample` is called in turns, so by one thread at a time."""

    def __init__(self, options: RpcDump) -> None:
        too_slow = "rpc_dump is too slow: %d requests were dropped"
        super().__init__("pybrpc-rpc-dump", "rpc_dump", "a request", too_slow, PAUSE_S)
        self.options = options
        self._sampler = Sampler(options.per_second)
        self._put_bytes = 0
        """Bytes that were ever put into the queue. Changed in turns alone."""
        self._taken_bytes = 0
        """Bytes that were ever taken out of it. Changed by the thread alone."""
        self.written = 0
        """Requests that were written to files."""
        self._file = DumpFile(options)

    @property
    def waiting_bytes(self) -> int:
        """Memory of the requests that wait to be written, in bytes."""
        return self._put_bytes - self._taken_bytes

    def start(self) -> None:
        """Make the directory, and start the thread. OSError, RuntimeError if it can't be."""
        self.options.prepare()
        super().start()
        SAMPLING.add(self)

    def sample(self, protocol: str, calls: Iterable[SampledCall]) -> None:
        """Put some of the requests into the queue. Never blocks, never raises."""
        try:
            for call in calls:
                request = call.request
                name = protocol if request.packer is None else getattr(request.packer, "name", "")
                if name == "baidu_std" and request.stream_settings is None:
                    self._sample_one(request)
        except BaseException as error:
            self._log.warn("Fail to sample a request", reason=error)
            deliver_interrupt(error)

    def _sample_one(self, request: RpcRequest) -> None:
        options = self.options
        if options.share < 1 and random.random() >= options.share:
            return
        if not self._sampler.try_take(time.monotonic()):
            return
        body, attachment = request.body, request.attachment
        size = ENTRY_BYTES + len(body) + (0 if attachment is None else len(attachment))
        # A peer chooses the names, too.
        size += sys.getsizeof(request.service) + sys.getsizeof(request.method)
        if self.waiting_bytes + size > options.max_waiting_bytes:
            self._drop()
            return
        self._put_bytes += size
        self._put(
            Waiting(
                request.service,
                request.method,
                request.compress_type or 0,
                bytes(body) if len(body) < SHARED_BYTES else body,
                _kept(attachment),
                size,
            )
        )

    def close(self) -> None:
        """End the thread as soon as nothing waits. Never blocks."""
        SAMPLING.discard(self)
        super().close()

    def _write(self, each: Waiting) -> None:
        try:
            self._file.write(each)
            self.written += 1
        except BaseException:
            self._closing.wait(PAUSE_AFTER_ERROR_S)
            raise
        finally:
            self._taken_bytes += each.size_bytes

    def _end(self) -> None:
        self._file.close()


class DumpFile:
    """The file that is written, and those before it. For one thread."""

    def __init__(self, options: RpcDump) -> None:
        self._options = options
        self._fd = -1
        self._path = ""
        self._requests = 0
        self._bytes = 0

    def write(self, request: Waiting) -> None:
        """Append a request; begin a new file if there is none. OSError; then the file is closed,
        and has whole requests only."""
        if self._fd >= 0 and not os.fstat(self._fd).st_nlink:
            self.close()  # somebody has removed it, perhaps with the directory
        if self._fd < 0:
            self._open()
        try:
            self._append(request)
        except BaseException:
            self._drop_the_rest()
            raise
        if self._requests == 1:
            self._remove_oldest()
        options = self._options
        if (
            self._requests >= options.max_requests_in_one_file
            or self._bytes >= options.max_file_bytes
        ):
            self.close()

    def _append(self, request: Waiting) -> None:
        parts = (request.body, request.attachment)
        sizes = len(request.body), len(request.attachment)
        head = head_of(request.service, request.method, request.compress_type, sizes)
        for part in (head, *parts):
            for view in part if isinstance(part, IOBuf) else (memoryview(part),):
                self._write_whole(view)
        self._requests += 1
        self._bytes += len(head) + sum(sizes)

    def _write_whole(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self._fd, view) :]

    def _drop_the_rest(self) -> None:
        """A part of a request may have been written: cut it off."""
        try:
            if self._requests:
                os.ftruncate(self._fd, self._bytes)
            else:
                os.unlink(self._path)
        finally:
            self.close()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            name = datetime.now().strftime(f"{PREFIX}%Y%m%d_%H%M%S_%f")
            self._path = os.path.join(self._options.directory, name)
            try:
                self._fd = os.open(self._path, flags, 0o600)
            except FileExistsError:
                continue  # another process of the server has made it in this microsecond
            break
        self._requests = self._bytes = 0

    def _remove_oldest(self) -> None:
        """Remove the oldest files of rpc_dump that are too many, now that a new one is good."""
        directory = self._options.directory
        existing = sorted(each for each in os.listdir(directory) if NAME.fullmatch(each))
        for name in existing[: max(0, len(existing) - self._options.max_files)]:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.unlink(path)

    def close(self) -> None:
        """Close the file; the next request begins another one."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def is_dump(name: str) -> bool:
    """Whether a file to read may be one of rpc_dump: people rename them."""
    return name.startswith(PREFIX)


def _kept(attachment: IOBuf | None) -> bytes | IOBuf:
    """The attachment as it is now: the handler may take it to pieces."""
    if attachment is None:
        return b""
    return bytes(attachment) if len(attachment) < SHARED_BYTES else attachment.copy()
