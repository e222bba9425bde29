"""Names of streams: what is behind "?" may be secret."""

from __future__ import annotations

import pytest

from pybrpc.rtmp.streams.stream_name import bare_name_of, query_of


@pytest.mark.parametrize(
    ("name", "bare", "query"),
    [
        ("cam", "cam", ""),
        ("cam?key=1", "cam", "key=1"),
        ("cam?", "cam", ""),
        ("?key=1", "", "key=1"),
        ("cam?a?b", "cam", "a?b"),
        ("", "", ""),
    ],
)
def test_name_has_a_query_behind_its_first_question_mark(name: str, bare: str, query: str) -> None:
    assert bare_name_of(name) == bare
    assert query_of(name) == query
