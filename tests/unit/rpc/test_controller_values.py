"""Values that a Controller refuses, by themselves; its options are tested with it."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.controller_values import checked_failure


@pytest.mark.parametrize("code", [20001.7, None, True, 2**31, 2**40, -(2**31) - 1, b"no"])
def test_code_that_is_no_whole_number_of_32_bits_is_refused(code: Any) -> None:
    controller = Controller()
    with pytest.raises(ValueError, match=r"the code of set_failed must be a whole number from -2"):
        controller.set_failed(code, "no such user")
    assert not controller.failed


def test_code_behind_the_text_is_refused() -> None:
    with pytest.raises(TypeError, match=r"takes the code first: set_failed\(code, text\)"):
        Controller().set_failed("no such user", 20001)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [None, 5, b"no"])
def test_text_that_is_no_string_is_refused(text: Any) -> None:
    controller = Controller()
    with pytest.raises(TypeError, match="the text of set_failed must be a string, not "):
        controller.set_failed(20001, text)
    assert not controller.failed


def test_right_failures_are_taken() -> None:
    assert checked_failure("oops", "") == (-1, "oops")
    assert checked_failure(ErrorCode.EINTERNAL, "no") == (2001, "no")
    for code in (-(2**31), -1, 1, 2**31 - 1):
        assert checked_failure(code, "") == (code, "")
