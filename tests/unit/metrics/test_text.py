"""Values as text, as C++ shows them."""

from __future__ import annotations

import pytest

from pybrpc.metrics.int_recorder import Stat
from pybrpc.metrics.text import text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (-(2**70), str(-(2**70))),
        (True, "1"),
        (None, "0"),
        (0.000124965, "0.000124965"),
        (1.00014, "1.00014"),
        (2.0, "2"),
        (1234567.0, "1.23457e+06"),
        ([1, 2.5, "x"], "[1,2.5,x]"),
        ((), "[]"),
        ("text", '"text"'),
        ("two\nlines\x1b", '"two\\nlines\\x1b"'),
        (Stat(7, 2), "3"),
        (Stat(1, 2), "0.5"),
        (Stat(), "0"),
    ],
)
def test_value_is_shown(value: object, text: str) -> None:
    assert text_of(value, quote_strings=True) == text


def test_strings_are_quoted_only_if_asked() -> None:
    assert text_of("text") == "text"
