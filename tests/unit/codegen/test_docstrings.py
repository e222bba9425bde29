"""Comments of .proto files become docstrings with the same text."""

from __future__ import annotations

import ast
import inspect

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import example, given
from hypothesis import strategies as st

from pybrpc.codegen.docstrings import Comments, docstring

pytestmark = pytest.mark.same_everywhere

LINES = st.text(
    st.one_of(
        st.sampled_from("\"'\\ \t\n\r\0{}%aN\x0b\x0c\x1b\x85\u2028é\U0001f600"),
        st.characters(codec="utf-8", exclude_characters="\n"),
    ),
)


def comments(text: str, path: tuple[int, ...], trailing: str = "") -> Comments:
    file = FileDescriptorProto()
    file.source_code_info.location.add(path=path, leading_comments=text, trailing_comments=trailing)
    return Comments(file)


def read(lines: list[str]) -> str:
    """The docstring as Python reads it: of a file, and so with the ends of lines of files. From
    3.13 on the compiler removes its margin, so it is taken before."""
    (made,) = ast.parse("\n".join(["class Made:", *lines, ""]).encode()).body
    assert isinstance(made, ast.ClassDef)
    (expression,) = made.body
    return str(ast.literal_eval(expression.value))  # type: ignore[attr-defined]


@given(LINES)
@example('"')
@example('""""')
@example('\\"')
@example('a\\"""')
@example("\\")
@example("a\\")
@example("\\N{BULLET} \\x")
def test_docstring_says_what_the_comment_says(text: str) -> None:
    lines = comments(text, (6, 0)).of_service(0)
    if not lines:
        assert not text.strip(" \t\r\n") or not text.strip()
        return
    made = read(docstring(lines, "    "))
    shown = made.split("\n")
    if len(lines) > 1:
        assert shown.pop() == "    "
    assert [shown[0], *(line.removeprefix("    ") for line in shown[1:])] == lines


def test_docstring_of_one_line_is_one_line() -> None:
    assert docstring(["One."], "  ") == ['  """One."""']


def test_docstring_of_several_lines_ends_below_them() -> None:
    made = docstring(["One.", "", "Two.", "  Three."], "  ")
    assert made == ['  """One.', "", "  Two.", "    Three.", '  """']
    assert inspect.cleandoc(read(made)) == "One.\n\nTwo.\n  Three."


def test_comment_loses_its_margin_and_blank_lines_around_it() -> None:
    assert comments("\n One.\n\n   Two. \n \n", (6, 1)).of_service(1) == ["One.", "", "  Two."]


def test_comment_without_a_margin_stays() -> None:
    assert comments("One.\n Two.\r\n", (6, 1)).of_service(1) == ["One.", " Two."]


def test_comment_behind_a_method_is_the_second_choice() -> None:
    assert comments("", (6, 0, 2, 3), " Behind.").of_method(0, 3) == ["Behind."]
    assert comments(" Before.", (6, 0, 2, 3), " Behind.").of_method(0, 3) == ["Before."]


def test_what_has_no_comment_has_no_lines() -> None:
    found = comments(" \n ", (6, 0))
    assert found.of_service(0) == found.of_service(1) == found.of_method(0, 0) == []
