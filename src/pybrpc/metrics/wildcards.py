"""Wildcards: which names a list of patterns means, as in `/vars/rpc_*;process_?d` of bRPC.

The lists may come from a peer, so matching takes a time of at most the length of the pattern times
that of the name: each part between two `*` is searched once (an atomic group), never again.
"""

from __future__ import annotations

import re

MAX_PATTERN_CHARS = 1024
"""Longest list of names and patterns, in characters."""
MAX_PATTERNS = 32
"""Patterns in a list, beside names: each is tried on each name."""


class Wildcards:
    """Names and patterns, separated by `,` or `;` (WildcardMatcher in bvar/variable.cpp).

    `*` is any text, `question_mark` any one character (`$` in a URL, where `?` has a meaning).
    ValueError if the list is too long, or has more than 32 patterns.
    """

    __slots__ = ("_pattern", "exact_names")

    def __init__(self, text: str, question_mark: str = "?") -> None:
        if len(text) > MAX_PATTERN_CHARS:
            raise ValueError(f"patterns have at most {MAX_PATTERN_CHARS} characters")
        if len(question_mark) != 1 or question_mark in "*,;":
            raise ValueError("question_mark is one character, and none of * , ;")
        parts = [part for part in re.split("[,;]", text) if part]
        patterns = [part for part in parts if "*" in part or question_mark in part]
        if len(patterns) > MAX_PATTERNS:
            raise ValueError(f"there are at most {MAX_PATTERNS} patterns")
        self.exact_names = frozenset(parts) - frozenset(patterns)
        """The names in it that are no patterns."""
        alternatives = "|".join(_regular_expression(each, question_mark) for each in patterns)
        self._pattern = re.compile(alternatives, re.DOTALL) if patterns else None

    @property
    def has_patterns(self) -> bool:
        """Whether it has more than plain names."""
        return self._pattern is not None

    def __bool__(self) -> bool:
        return self.has_patterns or bool(self.exact_names)

    def match(self, name: str) -> bool:
        """Whether it means `name`. An empty list means none."""
        if name in self.exact_names:
            return True
        return self._pattern is not None and self._pattern.fullmatch(name) is not None


def _regular_expression(pattern: str, question_mark: str) -> str:
    first, *rest = (
        ".".join(map(re.escape, part.split(question_mark))) for part in pattern.split("*")
    )
    if not rest:
        return first
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return f"{first}{middle}.*{rest[-1]}"
