"""PageAnswerer: the worker's end: answers the questions of its supervisor about its pages."""

from __future__ import annotations

import contextlib
import os
import socket as _socket
import struct
import threading
import time
from collections.abc import Callable

from pybrpc.base.guard import WORKERS, run_guarded
from pybrpc.base.limited_log import LimitedLog
from pybrpc.builtin.form_token import FORM_TOKEN
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.server_view import ServerView
from pybrpc.metrics.merged_variables import variables_to_bytes
from pybrpc.metrics.snapshot import take_snapshot
from pybrpc.server.workers.pages.messages import (
    MAX_QUESTION_BODY_BYTES,
    METRICS,
    VARIABLES,
    MessageReader,
    PageAnswer,
    PageQuestion,
    TooLongError,
)

MAX_RUNNING = 16
"""Pages that are made at once; to more questions the answer is 503."""
MAX_QUESTIONS = 24
"""Questions that are answered at once. So pages that hang, each in a function of the user, don't
keep the numbers away."""
LAST_S = 3.0
"""Seconds that the functions of variables may take when the worker ends."""
QUESTION_S = 5.0
"""Seconds that a question may take to be read, and an answer to be written."""
MAX_FDS = 8
TOO_MANY = b"too many pages are shown already\n"

_TIMEVAL = struct.pack("ll", int(LAST_S), 0)
_CLOSE_ON_EXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)


class PageAnswerer:
    """Has a thread that waits for questions, and one for each that is answered. So neither a page
    that takes long, nor an import of the application, delays anything."""

    def __init__(self, channel: _socket.socket) -> None:
        self._channel = channel
        self._view: Callable[[], ServerView | None] = lambda: None
        self._free = threading.Semaphore(MAX_QUESTIONS)
        self._free_pages = threading.Semaphore(MAX_RUNNING)
        self._log = LimitedLog(WORKERS)

    def start(self) -> None:
        """Begin to answer. All pages are 503 until `serve`."""
        threading.Thread(target=self._run, name="pybrpc-worker-pages", daemon=True).start()

    def serve(self, view: Callable[[], ServerView | None]) -> None:
        """The worker serves; `view` returns what its pages show, `None` if it has none."""
        self._view = view

    def _run(self) -> None:
        while True:
            try:
                data, fds, _, _ = _socket.recv_fds(self._channel, 1, MAX_FDS, _CLOSE_ON_EXEC)
            except OSError:
                return
            for fd in fds:
                run_guarded(self._begin, fd, what="a question about pages", log=WORKERS)
            if not data:
                return  # The supervisor is gone.

    def _begin(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        stream = _socket.socket(fileno=fd)
        is_free = self._free.acquire(blocking=False)
        try:
            if is_free:
                name = "pybrpc-worker-page"
                thread = threading.Thread(
                    target=self._answer, args=(stream,), name=name, daemon=True
                )
                thread.start()
                return
            _send_at_once(stream, PageAnswer(503, body=TOO_MANY))
        except BaseException:
            if is_free:
                self._free.release()
            stream.close()
            raise
        stream.close()

    def _answer(self, stream: _socket.socket) -> None:
        try:
            with stream:
                run_guarded(self._exchange, stream, what="a question about pages", log=WORKERS)
        finally:
            self._free.release()

    def _exchange(self, stream: _socket.socket) -> None:
        try:
            question = _question(stream)
            data = _packed(self._answer_to(question))
            stream.settimeout(QUESTION_S)
            stream.sendall(data)
        except (OSError, ValueError, TypeError, KeyError) as error:
            self._log.warn("A question about pages was not answered", reason=error)

    def _answer_to(self, question: PageQuestion) -> PageAnswer:
        view = self._view()
        if view is None:
            return PageAnswer(503, body=b"the worker starts, or its server has no pages\n")
        if question.kind == METRICS:
            return PageAnswer(200, body=take_snapshot().to_bytes())
        if question.kind == VARIABLES:
            return PageAnswer(200, body=variables_to_bytes())
        if not self._free_pages.acquire(blocking=False):
            return PageAnswer(503, body=TOO_MANY)
        try:
            if question.token:
                FORM_TOKEN.adopt(question.token)
            return PageAnswer.of(run_page(question.page, view))
        finally:
            self._free_pages.release()

    # --- at the end of the worker ---

    def finish(self) -> None:
        """Send the supervisor the numbers that there are at the end, if the server has pages.
        Blocks for LAST_S at most: functions of users run in another thread."""
        if self._view() is None:
            return
        sent = threading.Event()

        def send() -> None:
            run_guarded(self._send_last, what="sending the last metrics", log=WORKERS)
            sent.set()

        thread = threading.Thread(target=send, name="pybrpc-worker-last", daemon=True)
        is_started = run_guarded(thread.start, what="sending the last metrics", log=WORKERS)
        if is_started and not sent.wait(LAST_S):
            WORKERS.warning("the last metrics were not sent within %g s", LAST_S)

    def _send_last(self) -> None:
        data = PageAnswer(200, body=take_snapshot().to_bytes()).to_bytes()
        # A timeout of the socket object would be one of the thread that reads, too.
        self._channel.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, _TIMEVAL)
        with contextlib.suppress(OSError):  # The supervisor is gone, or does not read.
            self._channel.sendall(data)

    def __repr__(self) -> str:
        return "<PageAnswerer>"


def _question(stream: _socket.socket) -> PageQuestion:
    """Read a question. OSError if it does not come whole in time; ValueError, TypeError, KeyError
    if it is none."""
    deadline = time.monotonic() + QUESTION_S
    reader = MessageReader(MAX_QUESTION_BODY_BYTES)
    while wanted := reader.bytes_wanted():
        stream.settimeout(max(deadline - time.monotonic(), 0.001))
        data = stream.recv(wanted)
        if not data:
            raise ConnectionResetError("the supervisor has given the question up")
        reader.add(data)
    return PageQuestion.from_parts(*reader.parts())


def _packed(answer: PageAnswer) -> bytes:
    try:
        return answer.to_bytes()
    except TooLongError as error:
        return PageAnswer(500, body=f"the page is {error}\n".encode()).to_bytes()


def _send_at_once(stream: _socket.socket, answer: PageAnswer) -> None:
    """Send a short answer, which a fresh stream takes as a whole. Never blocks."""
    stream.setblocking(False)
    stream.send(answer.to_bytes())
