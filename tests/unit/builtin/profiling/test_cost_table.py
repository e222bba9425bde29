"""The table of functions."""

from __future__ import annotations

from pybrpc.builtin.profiling.cost_table import MAX_ROWS, cost_rows, cost_text
from tests.fakes.profiles import HOSTILE, profile_of

MS = 1_000_000


def test_functions_come_by_what_they_cost_themselves() -> None:
    profile = profile_of({"main;work": 30 * MS, "main;work;read": 60 * MS, "main": 10 * MS})
    rows = [(row.function, row.own, row.own_share, row.total_share) for row in cost_rows(profile)]
    assert rows == [
        ("read", "60.00 ms", "60.00%", "60.00%"),
        ("work", "30.00 ms", "30.00%", "90.00%"),
        ("main", "10.00 ms", "10.00%", "100.00%"),
    ]


def test_compared_with_a_base_the_largest_changes_come_first() -> None:
    base = profile_of({"main;a": 50 * MS, "main;b": 10 * MS})
    profile = profile_of({"main;a": 52 * MS, "main;b": 4 * MS})
    rows = [(row.function, row.change) for row in cost_rows(profile, base)]
    assert rows == [("b", "-6.00 ms"), ("a", "+2.00 ms"), ("main", "0 ns")]


def test_rows_are_limited() -> None:
    assert len(cost_rows(profile_of({f"f{i}": 1 for i in range(1000)}))) == MAX_ROWS


def test_text_has_one_line_for_each_function_whatever_its_name() -> None:
    text = cost_text(profile_of({f"main;{HOSTILE}\n\x1b[31m": 5}))
    assert text.splitlines()[0].endswith("10.0 s long: 5 ns in all")
    assert len(text.splitlines()) == 4
    assert "\x1b" not in text


def test_shares_of_growth_are_of_what_has_grown() -> None:
    rows = cost_rows(profile_of({"a": 300, "b": 100, "c": -1000}, kind="growth", unit="bytes"))
    assert [row.own_share for row in rows] == ["75.00%", "25.00%", "-250.00%"]


def test_an_empty_profile_has_a_table_without_rows() -> None:
    assert cost_text(profile_of({})).count("\n") == 2
