"""StreamOpening: the streams of a call, from its request to its answer."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import ErrorCode, LimitReachedError, ProtocolError, make_rpc_error
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse, StreamSettings
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA, FEEDBACK, RST, StreamFrame
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.opening import StreamBody, StreamOpening, ids_of_answer
from tests.fakes.streams import StreamSide

TOO_LATE = make_rpc_error(ErrorCode.ERPCTIMEDOUT, "too late")


class Attached:
    """A call that was sent with streams."""

    def __init__(self, side: StreamSide, count: int = 2, **options: Any) -> None:
        self.side = side
        self.answers: list[RpcResponse] = []
        self.opening = StreamOpening(StreamOptions(**options), count)
        self.settings = self.attach(side)

    def attach(self, side: StreamSide) -> StreamSettings:
        return self.opening.attach(side.table, 7, ParseLimits(), self.answers.append)

    @property
    def ids(self) -> list[int]:
        return [core.id for core in self.opening.cores]

    def answer(self, *ids: int, **fields: Any) -> None:
        """Wrapped, as servers send it."""
        settings = StreamSettings(ids[0], True, True, ids[1:]) if ids else None
        response = RpcResponse(7, stream_settings=settings, **fields)
        self.first_frame(bytes(BAIDU_STD.pack_response(response)))

    def first_frame(self, data: bytes, index: int = 0) -> None:
        self.side.feed(StreamFrame(self.ids[index], -1, DATA, data))


def test_request_says_its_streams(side: StreamSide) -> None:
    call = Attached(side, 3)
    first, *others = call.ids
    assert call.settings == StreamSettings(first, True, True, tuple(others))
    assert not call.opening.is_open
    assert set(side.table.streams) == {first, *others}
    assert Attached(side, 1, max_buf_size=0).settings.need_feedback is False


def test_answer_opens_the_streams(side: StreamSide) -> None:
    call = Attached(side)
    call.answer(10, 11)
    assert call.opening.is_open
    assert [core.remote_id for core in call.opening.cores] == [10, 11]
    assert [answer.error_code for answer in call.answers] == [0]
    side.data(call.opening.cores[1], b"behind the answer")
    assert call.opening.cores[1].take() == b"behind the answer"


@pytest.mark.parametrize("ids", [(10,), (10, 11, 12)])
def test_another_number_of_streams_is_an_error(side: StreamSide, ids: tuple[int, ...]) -> None:
    call = Attached(side)
    call.answer(*ids)
    (answer,) = call.answers
    assert answer.error_code == ErrorCode.EREQUEST
    assert f"accepted {len(ids)} streams instead of 2" in answer.error_text
    call.opening.fail(TOO_LATE)
    assert side.sent_kinds() == [RST] * len(ids)
    side.check_idle()


def test_answer_without_streams_is_an_error(side: StreamSide) -> None:
    call = Attached(side)
    call.answer()
    (answer,) = call.answers
    assert answer.error_code == ErrorCode.EREQUEST
    call.opening.fail(TOO_LATE)
    assert side.sent() == []
    side.check_idle()


def test_error_is_delivered_as_it_is(side: StreamSide) -> None:
    call = Attached(side)
    call.answer(error_code=77, error_text="no way")
    (answer,) = call.answers
    assert (answer.error_code, answer.error_text) == (77, "no way")
    assert not call.opening.is_open
    call.opening.fail(TOO_LATE)
    assert side.sent_kinds() == []


def test_streams_that_the_server_has_though_the_call_fails_are_reset(side: StreamSide) -> None:
    """bRPC: Controller::HandleStreamConnection."""
    call = Attached(side)
    call.answer(10, 11, error_code=77)
    assert not call.opening.is_open
    call.opening.fail(TOO_LATE)
    assert side.sent_kinds() == [RST, RST]
    side.check_idle()


@pytest.mark.parametrize("data", [b"", b"garbage", b"PRPC"])
def test_first_frame_that_is_no_answer_fails_the_connection(side: StreamSide, data: bytes) -> None:
    call = Attached(side)
    call.first_frame(data)
    assert isinstance(side.socket.error, ProtocolError)
    assert call.answers == []
    side.step.run_until_idle()
    call.opening.fail(TOO_LATE)
    side.check_idle()


def test_only_the_first_stream_gets_the_answer(side: StreamSide) -> None:
    call = Attached(side)
    answer = bytes(BAIDU_STD.pack_response(RpcResponse(7)))
    call.first_frame(answer, index=1)
    assert isinstance(side.socket.error, ProtocolError)


def test_frames_before_the_answer(side: StreamSide) -> None:
    call = Attached(side)
    for kind in (CLOSE, FEEDBACK, 99):
        side.feed(StreamFrame(call.ids[0], 5, kind, consumed_size=9))
    assert call.answers == []
    side.feed(StreamFrame(call.ids[1], frame_type=RST))
    (answer,) = call.answers
    assert (answer.correlation_id, answer.error_code) == (7, ErrorCode.ECONNRESET)


def test_answer_that_comes_after_the_call() -> None:
    with StreamSide(on_late_answer=ids_of_answer) as side:
        check_late_answer(side)


def check_late_answer(side: StreamSide) -> None:
    call = Attached(side)
    ids = call.ids
    call.opening.fail(TOO_LATE)
    side.check_idle()
    response = RpcResponse(7, stream_settings=StreamSettings(10, True, True, (11,)))
    side.feed(StreamFrame(ids[0], 10, DATA, bytes(BAIDU_STD.pack_response(response))))
    assert [(frame.frame_type, frame.stream_id) for frame in side.sent()] == [(RST, 10), (RST, 11)]


def test_call_that_fails_while_it_is_sent(side: StreamSide) -> None:
    opening = StreamOpening(StreamOptions(), 2)
    opening.fail(TOO_LATE)
    opening.attach(side.table, 7, ParseLimits(), lambda response: None)
    side.check_idle()


def test_call_that_is_sent_again() -> None:
    with StreamSide() as first, StreamSide() as second:
        call = Attached(first)
        ids = call.ids
        call.side = second
        call.attach(second)
        assert call.ids == ids
        first.check_idle()
        call.answer(10, 11)
        assert call.opening.is_open
        call.opening.fail(TOO_LATE)
        second.check_idle()


def test_connection_that_takes_no_more_streams(side: StreamSide) -> None:
    side.table.max_streams = 2
    with pytest.raises(LimitReachedError):
        Attached(side, 3)
    side.check_idle()


def test_connection_that_fails_leaves_the_call_to_its_own_end(side: StreamSide) -> None:
    call = Attached(side)
    side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
    side.step.run_until_idle()
    assert call.answers == []
    assert side.table.streams == {}
    call.opening.fail(TOO_LATE)
    side.check_idle()


def test_ids_of_an_answer() -> None:
    settings = StreamSettings(1, True, True, (2, 3))
    answer = bytes(BAIDU_STD.pack_response(RpcResponse(7, stream_settings=settings)))
    assert ids_of_answer(answer) == [1, 2, 3]
    assert ids_of_answer(answer[:-1]) == []
    assert ids_of_answer(b"") == []


def test_body_of_a_request_with_streams() -> None:
    opening = StreamOpening(StreamOptions(), 1)
    body = StreamBody(b"body", opening)
    assert (body.body, body.opening) == (b"body", opening)
