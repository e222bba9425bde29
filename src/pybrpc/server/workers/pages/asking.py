"""`ask`: a question to several workers at once, and what each has answered."""

from __future__ import annotations

import contextlib
import dataclasses
import selectors
import socket as _socket
import time
from collections.abc import Iterable
from typing import TypeAlias

from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import (
    MAX_ANSWER_BYTES,
    PAGE,
    MessageReader,
    PageAnswer,
    PageQuestion,
    TooLongError,
)

MAX_NUMBERS_BYTES = 128 * 1024 * 1024
"""Bytes of the numbers of all workers together. They are asked for once at a time."""
MAX_PAGES_BYTES = 32 * 1024 * 1024
"""Bytes of the pages of all workers together, which many clients may ask for at once."""
READ_BYTES = 256 * 1024
ENDED = "it has ended without an answer"


@dataclasses.dataclass(frozen=True, slots=True)
class AskedWorker:
    """A worker process that can be asked."""

    number: int
    pid: int
    state: str
    """As in WorkerStatistics."""
    channel: PageChannel = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        """For people: "worker 2 (pid 71)"."""
        return f"worker {self.number} (pid {self.pid})"


Answers: TypeAlias = "dict[AskedWorker, PageAnswer | str]"
"""The answer of each, or the reason why there is none."""


def ask(workers: Iterable[AskedWorker], question: PageQuestion, timeout_s: float) -> Answers:
    """Ask all of them. Blocks until all have answered, or for `timeout_s`. A worker that dies, does
    not answer in time, or answers nonsense or too much is no error: the text says what it did.
    TooLongError for a question that is too long."""
    data = question.to_bytes()
    asked = list(workers)
    found: Answers = dict.fromkeys(asked, f"it did not answer within {timeout_s:g} s")
    all_bytes = MAX_PAGES_BYTES if question.kind == PAGE else MAX_NUMBERS_BYTES
    most = min(MAX_ANSWER_BYTES, all_bytes // max(len(asked), 1))
    deadline = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for worker in asked:
            try:
                stream = stack.enter_context(worker.channel.open_stream())
            except BlockingIOError:
                found[worker] = "it does not take the questions that it was sent"
            except OSError as error:
                found[worker] = f"it can't be asked: {error}"
            else:
                exchange = _Exchange(worker, stream, data, most)
                selector.register(stream, selectors.EVENT_WRITE, exchange)
        while selector.get_map() and (left_s := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                exchange = key.data
                answer = exchange.go_on()
                if answer is not None:
                    found[exchange.worker] = answer
                    selector.unregister(exchange.stream)
                elif exchange.is_sent and key.events == selectors.EVENT_WRITE:
                    selector.modify(exchange.stream, selectors.EVENT_READ, exchange)
    return found


class _Exchange:
    """A question that is being sent, and an answer that is being read."""

    def __init__(self, worker: AskedWorker, stream: _socket.socket, data: bytes, most: int) -> None:
        self.worker = worker
        self.stream = stream
        self._left = memoryview(data)
        self._reader = MessageReader(most)

    @property
    def is_sent(self) -> bool:
        return not self._left

    def go_on(self) -> PageAnswer | str | None:
        """Write, or read; return what the worker has answered, or why it has not, once that is
        known."""
        try:
            if self._left:
                self._send()
                return None
            return self._read()
        except BlockingIOError:
            return None
        except TooLongError as error:
            return f"it has answered with {error}"
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return f"it has answered with nonsense ({type(error).__name__})"
        except OSError:
            return ENDED

    def _send(self) -> None:
        try:
            self._left = self._left[self.stream.send(self._left) :]
        except (BrokenPipeError, ConnectionResetError):
            # A worker that has too many questions answers and closes before it has read this one.
            self._left = self._left[:0]

    def _read(self) -> PageAnswer | str | None:
        reader = self._reader
        data = self.stream.recv(min(reader.bytes_wanted(), READ_BYTES))
        if not data:
            return ENDED
        reader.add(data)
        if reader.bytes_wanted():
            return None
        return PageAnswer.from_parts(*reader.parts())
