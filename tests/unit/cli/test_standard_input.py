"""Lines of the standard input, as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pybrpc.cli import standard_input
from pybrpc.cli.standard_input import lines

pytestmark = pytest.mark.same_everywhere


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a\n\nb"], [b"a", b"", b"b"]),
        ([b"a\r\nb\rc\r\n"], [b"a", b"b\rc"]),
        ([b"ab", b"cd", b"e\nf", b"g\n"], [b"abcde", b"fg"]),
    ],
)
def test_lines_may_come_in_pieces(
    pipe: tuple[int, int], pieces: list[bytes], expected: list[bytes]
) -> None:
    reader, writer = pipe
    given = lines(reader)
    for piece in pieces:
        os.write(writer, piece)
    os.close(writer)
    assert list(given) == expected


def test_line_is_given_before_the_next_one_has_come(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    given = lines(reader)
    os.write(writer, b"first\nsec")
    assert next(given) == b"first"
    os.write(writer, b"ond\n")
    assert next(given) == b"second"
    os.close(writer)
    assert list(given) == []


def test_line_that_never_ends_is_refused(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_input, "MAX_LINE_BYTES", 10)
    reader, writer = pipe
    os.write(writer, b"0123456789a")
    with pytest.raises(ValueError, match="over 10 bytes"):
        list(lines(reader))
    os.close(writer)
