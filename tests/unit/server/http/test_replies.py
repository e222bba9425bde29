"""HttpReplies: responses in parts, in the order of their requests, and what their writers learn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.server.http.replies import HttpReplies
from tests.fakes.reply_lines import Line

ERROR = make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so")


class HttpLine(Line[HttpReplies]):
    """A Line whose responses come in parts too."""

    def __init__(self) -> None:
        super().__init__(HttpReplies)

    def append(self, position: int, data: bytes) -> None:
        self.replies.append(position, IOBuf(data))
        self.write()

    def finish(self, position: int) -> None:
        self.replies.finish(position)
        self.write()


@pytest.fixture
def line() -> Iterator[HttpLine]:
    with contextlib.closing(HttpLine()) as made:
        yield made


def test_parts_are_written_when_their_turn_has_come(line: HttpLine) -> None:
    line.replies.begin(1)
    line.append(1, b"a")
    line.answer(2)
    assert line.received() == b""
    assert not line.replies.is_turn(1)
    line.answer(0)
    assert line.received() == b"<0>a"
    assert line.replies.is_turn(1)
    line.append(1, b"b")
    assert line.received() == b"b"
    line.finish(1)
    assert line.received() == b"<2>"
    assert line.unanswered.is_empty()


def test_what_is_appended_behind_the_end_is_dropped(line: HttpLine) -> None:
    line.replies.begin(0)
    line.finish(0)
    line.append(0, b"late")
    line.answer(1)
    assert line.received() == b"<1>"
    assert line.unanswered.is_empty()


def test_a_wake_comes_with_the_turn_also_of_a_response_that_is_over(line: HttpLine) -> None:
    woken: list[str] = []
    for position, is_over in ((1, True), (2, False)):
        line.replies.begin(position)
        line.replies.when_turn(position, lambda position=position: woken.append(str(position)))
        if is_over:
            line.finish(position)
    assert woken == []
    line.answer(0)
    assert woken == ["1", "2"]
    line.replies.when_turn(2, lambda: woken.append("now"))
    line.replies.when_turn(1, lambda: woken.append("past"))
    assert woken == ["1", "2", "now", "past"]


def test_nothing_is_written_behind_the_last_response(line: HttpLine) -> None:
    line.replies.begin(1)
    line.replies.end_behind(1)
    line.answer(2)
    line.append(1, b"a")
    line.answer(0)
    assert line.received() == b"<0>a"
    line.append(1, b"b")
    line.finish(1)
    line.answer(3)
    assert line.received() == b"b"
    line.socket.fail(ERROR)
    line.replies.on_failed(ERROR)
    assert line.unanswered.is_empty()


def test_end_is_told_once_the_last_whole_response_is_written(line: HttpLine) -> None:
    told: list[bytes] = []
    line.replies.end_with_whole(1, lambda: told.append(b"end"))
    line.answer(2)
    line.answer(0)
    assert (line.received(), told) == (b"<0>", [])
    line.answer(1)
    assert (line.received(), told) == (b"<1>", [b"end"])
    line.answer(3)
    assert (line.received(), told) == (b"", [b"end"])


def test_news_come_when_the_kernel_has_all(line: HttpLine) -> None:
    news: list[RpcError | None] = []
    line.replies.begin(0)
    line.replies.append(0, IOBuf(b"a"))
    line.replies.write_and_tell(news.append)
    line.step.run_until_idle()
    assert (line.received(), news) == (b"a", [None])


def test_news_come_with_the_error_of_a_connection_that_has_failed(line: HttpLine) -> None:
    news: list[RpcError | None] = []
    woken: list[int] = []
    line.replies.begin(1)
    line.replies.append(1, IOBuf(b"a"))
    line.replies.when_turn(1, lambda: woken.append(1))
    line.socket.fail(ERROR)
    line.replies.write_and_tell(news.append)
    line.step.run_until_idle()
    assert [error is not None and error.code for error in news] == [ErrorCode.EFAILEDSOCKET]
    assert woken == [1]
    line.replies.append(1, IOBuf(b"b"))
    assert line.replies.held_bytes == 0
    assert line.unanswered.is_empty()


def test_responses_behind_the_last_one_are_dropped(line: HttpLine) -> None:
    assert not line.replies.drops(5)
    line.replies.end_behind(1)
    line.replies.end_behind(2)  # too late
    assert [line.replies.drops(position) for position in range(4)] == [False, False, True, True]
