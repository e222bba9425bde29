"""UserLimiter: the code of a user may raise anything, and return anything."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.server.limiters.adaptive_max_concurrency import MAX_LIMIT
from pybrpc.server.limiters.user_limiter import UserLimiter


class Scripted:
    def __init__(self, limit: Any = 7, answer: Any = True) -> None:
        self.limit, self.answer = limit, answer
        self.asked: list[tuple[int, float | None]] = []
        self.ended: list[tuple[float, int, int]] = []

    @property
    def max_concurrency(self) -> Any:
        return self.result_of(self.limit)

    def admits(self, concurrency: int, timeout: float | None) -> Any:
        self.asked.append((concurrency, timeout))
        return self.result_of(self.answer)

    def on_end(self, latency: float, concurrency: int, error_code: int) -> None:
        self.ended.append((latency, concurrency, error_code))
        self.result_of(self.answer)

    def result_of(self, value: Any) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value


class NoBool:
    def __bool__(self) -> bool:
        raise RuntimeError


def test_user_is_asked_in_seconds() -> None:
    scripted = Scripted(answer=False)
    limiter = UserLimiter("Scripted", scripted)
    assert not limiter.admits(3, 1500, 0.0)
    assert not limiter.admits(4, 0, 0.0)
    limiter.on_end(9.0, 0.5, 3, 1008)
    assert scripted.asked == [(3, 1.5), (4, None)]
    assert scripted.ended == [(0.5, 3, 1008)]
    assert (limiter.name, limiter.learns, limiter.limit()) == ("Scripted", True, 7)
    assert limiter.describe(0) == "7 (Scripted)"


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), BaseException("x")], ids=repr)
def test_whatever_the_user_raises_is_logged_and_the_request_admitted(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = UserLimiter("Scripted", Scripted(error, error))
    assert limiter.admits(3, 0, 0.0)
    limiter.on_end(9.0, 0.5, 3, 0)
    assert limiter.limit() == 0
    assert [record.message for record in caplog.records] == [
        "admits of the limiter Scripted raised"
    ]


def test_answer_without_a_truth_admits() -> None:
    assert UserLimiter("Scripted", Scripted(answer=NoBool())).admits(3, 0, 0.0)


@pytest.mark.parametrize(
    ("limit", "shown"), [(-1, 0), (1 << 80, MAX_LIMIT), ("7", 0), (None, 0), (7, 7)]
)
def test_limit_that_is_shown_is_a_number_in_any_case(limit: Any, shown: int) -> None:
    assert UserLimiter("Scripted", Scripted(limit)).limit() == shown
