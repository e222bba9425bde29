"""Failures: which code and text an error becomes, also one that was made to break it."""

from __future__ import annotations

import asyncio

import pytest

from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    LimitReachedError,
    RpcError,
    RpcTimeoutError,
)
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.protocol import DEFAULT_MAX_META_SIZE
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.failures import (
    MAX_TEXT,
    cut_text,
    failure_of,
    failure_to_respond,
    note_failure,
    plain_failure,
    text_of,
)

EINTERNAL = int(ErrorCode.EINTERNAL)


def noted(error: BaseException) -> Controller:
    controller = Controller()
    controller._server_identity = "[here]"
    note_failure(controller, error, "S.M")
    return controller


class Mute(Exception):
    def __str__(self) -> str:
        raise asyncio.CancelledError


class Evil(RpcError):
    """Its fields raise."""

    @property
    def text(self) -> str:  # type: ignore[override]
        raise SystemExit

    @text.setter
    def text(self, value: str) -> None: ...


def of_a_call(error: RpcError) -> RpcError:
    error.ended_call = True
    return error


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (LimitReachedError("full"), ErrorCode.ELIMIT, "[here][E2004]full"),
        (RpcError("mine", code=77), 77, "[here][E77]mine"),
        (ValueError("odd"), EINTERNAL, "[here][E2001]ValueError: odd"),
        (SystemExit(), EINTERNAL, "[here][E2001]SystemExit"),
        (Mute(), EINTERNAL, "[here][E2001]Mute"),
        (RpcError("no code", code=0), EINTERNAL, "[here][E2001]RpcError: E0: no code"),
        (Evil("x"), EINTERNAL, "[here][E2001]Evil"),
        (
            of_a_call(RpcTimeoutError("late", peer="10.0.0.1:7")),
            EINTERNAL,
            "[here][E2001]RpcTimeoutError: ERPCTIMEDOUT: late (peer=10.0.0.1:7)",
        ),
        (of_a_call(Evil("x")), EINTERNAL, "[here][E2001]Evil"),
    ],
)
def test_error_becomes_a_code_and_a_text(error: BaseException, code: int, text: str) -> None:
    controller = noted(error)
    assert (controller.error_code, controller.error_text) == (code, text)


@pytest.mark.parametrize(
    ("error", "is_logged"),
    [
        (ValueError(), True),
        (SystemExit(), True),
        (asyncio.CancelledError(), False),
        (LimitReachedError("full"), False),
        (of_a_call(RpcTimeoutError("late")), False),
    ],
)
def test_error_that_nobody_expects_is_logged(
    error: BaseException, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    noted(error)
    assert ("the handler of S.M raised" in caplog.text) == is_logged


def test_error_is_noted_in_a_controller_that_its_handler_has_spoiled() -> None:
    controller = Controller()
    controller.error_text = 5  # type: ignore[assignment]
    note_failure(controller, LimitReachedError("full"), "S.M")
    assert controller.error_code == EINTERNAL
    assert "LimitReachedError: ELIMIT: full" in controller.error_text


def test_long_text_is_cut_and_says_so() -> None:
    assert cut_text("x" * MAX_TEXT) == "x" * MAX_TEXT
    found = cut_text("can't parse " + "x" * 1_000_000)
    assert len(found) == MAX_TEXT
    assert found.startswith("can't parse xxx")
    assert found.endswith("... (1000012 characters)")


@pytest.mark.parametrize("letter", ["x", "é", "漢", "🜛"])
def test_longest_text_fits_into_a_meta(letter: str) -> None:
    controller = Controller()
    controller.set_failed(77, letter * 2_000_000)
    frame = bytes(BAIDU_STD.pack_response(failure_of(7, controller)))
    assert int.from_bytes(frame[8:12], "big") < DEFAULT_MAX_META_SIZE / 10


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (BadResponseError("no"), ErrorCode.ERESPONSE, "[here][E2002]no"),
        (ValueError("no"), EINTERNAL, "[here][E2001]ValueError: no"),
    ],
)
def test_failure_to_respond_is_the_response(error: Exception, code: int, text: str) -> None:
    response = failure_to_respond(7, "[here]", error)
    assert (response.correlation_id, response.error_code, response.error_text) == (7, code, text)


def test_plain_failure_can_be_packed() -> None:
    assert b"can't be packed" in bytes(BAIDU_STD.pack_response(plain_failure(7)))


def test_text_of_an_error_without_a_text_is_its_type() -> None:
    assert text_of(KeyError()) == "KeyError"
