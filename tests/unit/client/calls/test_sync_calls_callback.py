"""CallbackCall: with what it calls back, over a fake connection."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest

from pybrpc.client.calls.sync_calls import (
    new_callback_call,
)
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
)
from tests.fakes.connections import ANSWER, FakeSource, OddMethod, raise_error
from tests.fakes.sync_calls import EVERYTHING, make
from tests.fakes.threads import in_threads


def test_completion_that_runs_twice_does_so_once_only() -> None:
    source = FakeSource()
    call = make(new_callback_call, source)
    called: list[object] = []
    call.begin(lambda response, error: called.append(response), None)
    source.answer()
    source.run_completions()
    call.run()
    assert (len(called), source.attended) == (1, 0)


def test_callback_gets_the_response_or_the_error() -> None:
    told: list[Any] = []
    source = FakeSource()
    make(new_callback_call, source).begin(lambda *end: told.append(end), None)
    assert source.attended == 1
    source.answer_well()
    source.run_completions()
    make(new_callback_call, source).begin(lambda *end: told.append(end), None)
    source.answer_error(ErrorCode.EINTERNAL)
    source.run_completions()
    assert told[0] == (ANSWER, None)
    assert told[1][0] is None
    assert told[1][1].code == ErrorCode.EINTERNAL
    assert (len(told), source.attended) == (2, 0)


@pytest.mark.parametrize("raised", EVERYTHING)
def test_callback_that_raises_is_logged(
    caplog: pytest.LogCaptureFixture, raised: type[BaseException]
) -> None:
    def done(message: object, error: object) -> None:
        raise raised

    source = FakeSource()
    make(new_callback_call, source).begin(done, None)
    source.answer_well()
    in_threads(1, lambda _: source.run_completions())
    (record,) = caplog.records
    assert record.name == "pybrpc.client"
    assert record.getMessage() == "the callback of a call of conformance.EchoService.Echo raised"
    assert (source.attended, source.dispatcher.raised) == (0, [])


@pytest.mark.parametrize("raised", EVERYTHING)
def test_callback_gets_eresponse_whatever_the_parser_raises(raised: type[BaseException]) -> None:
    told: list[Any] = []
    source = FakeSource()
    make(new_callback_call, source, method=OddMethod(raised)).begin(
        lambda *end: told.append(end), None
    )
    source.answer_well()
    in_threads(1, lambda _: source.run_completions())
    ((message, error),) = told
    assert message is None
    assert isinstance(error, BadResponseError)
    assert isinstance(error.__cause__, raised)


def test_callbacks_that_call_again_and_fail_at_once_need_no_stack() -> None:
    """Each call is refused; the next one begins in its callback."""
    ended = 0

    def done(message: Any, error: Any) -> None:
        nonlocal ended
        ended += 1
        if ended < 20_000:
            make(new_callback_call, source).begin(done, None)

    source = FakeSource(*[raise_error(ErrorCode.EOVERCROWDED)] * 20_000)
    make(new_callback_call, source).begin(done, None)
    assert ended == 0
    source.run_completions()
    assert (ended, source.attended) == (20_000, 0)


def test_async_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def done(message: object, error: object) -> None:
        raise AssertionError

    source = FakeSource()
    make(new_callback_call, source).begin(done, None)
    source.answer_well()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source.run_completions()
        gc.collect()
    said = "the callback of a call of conformance.EchoService.Echo is an async function, and is not"
    assert said in caplog.text
    assert source.attended == 0
