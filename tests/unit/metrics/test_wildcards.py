"""Wildcards: which names they mean, and that matching is fast whatever a peer asks for."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.metrics.wildcards import MAX_PATTERN_CHARS, MAX_PATTERNS, Wildcards


@pytest.mark.parametrize(
    ("text", "means", "means_not"),
    [
        ("a", ["a"], ["", "b", "aa"]),
        ("a,b;c", ["a", "b", "c"], ["ab", "a,b"]),
        ("a*", ["a", "ab", "a\nb"], ["ba", ""]),
        ("*a", ["a", "ba"], ["ab"]),
        ("*", ["", "a"], []),
        ("a?c", ["abc"], ["ac", "abbc"]),
        ("a*b*c", ["abc", "axbxc", "abcbc"], ["acb", "ab"]),
        ("a**c", ["ac", "abc"], ["ab"]),
        ("*b*;x", ["abc", "b", "x"], ["ac", "xx"]),
        ("a.c;[ab]*", ["a.c", "[ab]c"], ["abc", "ac"]),
        (",;,", [], ["", "a"]),
    ],
)
def test_patterns_mean_names(text: str, means: list[str], means_not: list[str]) -> None:
    wildcards = Wildcards(text)
    assert [name for name in means if not wildcards.match(name)] == []
    assert [name for name in means_not if wildcards.match(name)] == []


def test_empty_list_is_false_and_means_nothing() -> None:
    assert not Wildcards("")
    assert Wildcards("a")
    assert Wildcards("a*").has_patterns
    assert Wildcards("a;b").exact_names == {"a", "b"}


def test_question_mark_can_be_another_character() -> None:
    assert Wildcards("a$c", "$").match("abc")
    assert not Wildcards("a?c", "$").match("abc")
    assert Wildcards("a?c", "$").match("a?c")
    for wrong in ("", "**", "*", ",", ";"):
        with pytest.raises(ValueError, match="question_mark"):
            Wildcards("a", wrong)


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_matches_are_those_of_fnmatch(pattern: str, name: str) -> None:
    expected = bool(pattern) and fnmatch.fnmatchcase(name, pattern)
    assert Wildcards(pattern).match(name) == expected


def test_long_list_is_refused() -> None:
    Wildcards("a" * MAX_PATTERN_CHARS)
    with pytest.raises(ValueError, match="1024 characters"):
        Wildcards("a" * (MAX_PATTERN_CHARS + 1))


def test_many_patterns_are_refused_and_many_names_are_not() -> None:
    assert Wildcards("a*;" * MAX_PATTERNS + "b;c").match("c")
    assert Wildcards("a;" * 500).match("a")
    with pytest.raises(ValueError, match="32 patterns"):
        Wildcards("a*;" * (MAX_PATTERNS + 1))


def test_hostile_pattern_matches_nothing_in_a_bounded_number_of_steps() -> None:
    """Backtracking would never end."""
    worst = ["*a" * 500 + "b", ";".join(["*a*a*a*a*a*a*a*a*a*a*a*a*a*ab"] * 32), "*?" * 500 + "b"]
    for pattern in worst:
        wildcards = Wildcards(pattern)
        assert not wildcards.match("a" * 1024)
