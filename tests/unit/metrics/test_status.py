"""Status and PassiveStatus: beside bRPC's own tests."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pybrpc.metrics import PassiveStatus, Status, dump_exposed, take_snapshot


@pytest.mark.parametrize("raised", [ValueError("secret"), SystemExit(3)])
def test_function_that_raises_is_shown_by_the_type_of_the_exception(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> int:
        raise raised

    status = PassiveStatus(fail, "fails")
    Status(1, "works")
    with caplog.at_level(logging.WARNING, "pybrpc"):
        for _ in range(3):
            assert dump_exposed() == [
                ("fails", f'"raised {type(raised).__name__}"'),
                ("works", "1"),
            ]
        assert list(take_snapshot().families) == ["works"]
    assert caplog.messages == ["reading the variable fails raised"]  # at most once a second
    with pytest.raises(type(raised)):
        status.get_value()


def test_ctrl_c_during_a_dump_reaches_the_main_thread() -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    PassiveStatus(interrupt, "interrupted")

    def dump() -> None:
        dump_exposed()
        for _ in range(100):
            pass

    with pytest.raises(KeyboardInterrupt):
        dump()


def test_value_that_has_no_text_is_shown_as_raised() -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError

    Status(Silent(), "silent")
    assert dump_exposed() == [("silent", '"raised RuntimeError"')]


@pytest.mark.parametrize(
    ("value", "is_counter", "kinds"),
    [
        (1, False, ["gauge"]),
        (1.5, True, ["counter"]),
        ("text", False, []),
        ("text", True, []),
        ([1, 2], False, []),
    ],
)
def test_numbers_only_are_metrics(value: Any, is_counter: bool, kinds: list[str]) -> None:
    status = PassiveStatus(lambda: value, is_counter=is_counter)
    assert [each.kind for each in status.metric_values()] == kinds


def test_function_has_to_be_one() -> None:
    with pytest.raises(TypeError, match="function is called"):
        PassiveStatus(3)  # type: ignore[arg-type]


def test_status_of_a_number_is_a_gauge() -> None:
    status: Status[Any] = Status(2.5, "load", help="The load")
    assert [(each.kind, each.value) for each in status.metric_values()] == [("gauge", 2.5)]
    status.set_value("high")
    assert list(status.metric_values()) == []
    assert status.help == "The load"
