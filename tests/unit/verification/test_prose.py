"""Each rule of verification.prose finds its bad examples and passes its good ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification import prose
from verification.prose import check_code, check_text
from verification.retired_words import RETIRED_WORDS

NOUN_FIRST = "begins with a clause"
WHO = '"who" without a noun'
PERSON = "a person"
PRIVATE = "private word"
RETIRED = "retired word"


def rules_of(text: str, is_docstring: bool = False) -> list[str]:
    return [finding.advice.split(" / ")[0] for finding in check_text(text, 1, is_docstring)]


@pytest.mark.parametrize(
    "text",
    [
        "What is not read is dropped.",
        "What this thread makes.",
        "Of the Runtime of now.",
        "So many requests are let in.",
        "So long a task may keep others waiting.",
        "The same, after the run.",
        "The same for a task.",
        "The same one, with requests that travel like that.",
    ],
)
def test_docstring_that_begins_with_a_clause_is_found(text: str) -> None:
    assert rules_of(text, is_docstring=True) == [NOUN_FIRST]
    assert rules_of(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "The state of a buffer.",
        "The same error for one more caller.",
        "What does it cost to wake a thread?",
        "Whether the queue is empty.",
        "Offers a connection.",
        "Somewhere else.",
    ],
)
def test_docstring_that_begins_with_a_noun_or_a_question_passes(text: str) -> None:
    assert rules_of(text, is_docstring=True) == []


@pytest.mark.parametrize(
    "text",
    [
        "Close it. Who leaves 0 owns the call.",
        "True if it belongs to who asks.",
        "In the thread of who waits.",
        "The list of callers and who\nwaits for room.",
        "The first leaves a mark, who comes later finds it.",
        "Whoever takes it out owns it.",
        "It is for whoever asks.",
    ],
)
def test_who_without_a_noun_is_found(text: str) -> None:
    assert rules_of(text) == [WHO]


@pytest.mark.parametrize(
    "text",
    [
        "A caller who waits is woken.",
        "True for the one who may, and for those who ask.",
        "Who may call this? Any thread.",
        "Notes who asked.",
        "The WHO is elsewhere.",
    ],
)
def test_who_after_a_noun_or_in_a_question_passes(text: str) -> None:
    assert rules_of(text) == []


def test_docstring_that_begins_with_who_is_one_finding_of_each_rule() -> None:
    assert sorted(rules_of("Who waits.", is_docstring=True)) == [WHO, NOUN_FIRST]


@pytest.mark.parametrize("text", ["A caller gets his answer.", "If he asks.", "Sent to him."])
def test_person_for_a_thread_is_found(text: str) -> None:
    assert rules_of(text) == [PERSON]


def test_it_and_they_for_a_thread_pass() -> None:
    assert rules_of("A caller gets its answer; the history of this. They wait.") == []


@pytest.mark.parametrize(
    "text", ["Each call is told its outcome.", "The user is not told.", "The connection stands."]
)
def test_private_use_of_an_ordinary_word_is_found(text: str) -> None:
    assert rules_of(text) == [PRIVATE]


@pytest.mark.parametrize(
    "text",
    [
        "A process is told to stop.",
        "They can't be told apart.",
        "It stands for one label.",
        "The worker told the supervisor.",
    ],
)
def test_ordinary_use_of_that_word_passes(text: str) -> None:
    assert rules_of(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "It takes the seat.",
        "Two seats.",
        "See DriverSeat.",
        "See `transport.driver_seat`.",
        "It puts off the write.",
        "Call `rouse` first.",
        "See LastPosts.",
        "The PlayedSocket.",
    ],
)
def test_retired_word_is_found_in_text(text: str) -> None:
    assert rules_of(text) == [RETIRED]


@pytest.mark.parametrize(
    "text",
    [
        "It attends to many forms, in place of another.",
        "It is_overcrowded.",
        "Nobody played. They leave.",
        "The seated_guest; snapped; a bellow.",
    ],
)
def test_ordinary_word_that_resembles_a_retired_one_passes(text: str) -> None:
    assert rules_of(text) == []


def test_every_retired_word_is_found_in_code_or_in_text() -> None:
    for key in RETIRED_WORDS:
        spelled = key.removesuffix("()").removesuffix("*")
        found = check_text(spelled) if " " in key else check_code(f"{spelled} = 1\n")
        assert [finding.advice.split(" / ")[0] for finding in found] == [RETIRED], key


def test_name_of_another_project_passes_only_as_a_whole() -> None:
    assert rules_of("bRPC: OnRPCEndDrivesRatioDownAndReAllows.") == []
    assert rules_of("bRPC: OnRPCEndDrivesRatioDown.") == [RETIRED]


def test_advice_is_the_new_name() -> None:
    assert [finding.advice for finding in check_code("x._outbox = 1\n")] == [
        "retired word / ResponseBatch"
    ]


CODE = '''"""A module."""

# One comment. Its caller
# waits for his answer.
limit = 1
"""So many at most."""


def name_of(_gentle: int) -> str:
    """A name.

    Whoever asks gets it.
    """
    text = "Who asks? He who stands in his seat."
    return text  # of who asks
'''


def test_docstrings_comments_and_identifiers_are_checked_but_no_other_string() -> None:
    assert sorted((finding.line, finding.found) for finding in check_code(CODE)) == [
        (4, "his"),
        (6, "So many"),
        (9, "_gentle"),
        (12, "Whoever"),
        (15, "who"),
    ]


def test_declarations_for_cython_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "module.pxd"
    path.write_text("cimport cython\n\ncdef class Seat:\n    cdef readonly object _nap  # his\n")
    assert [finding.line for finding in prose.check_file(path)] == [3, 4, 4]


def test_command_prints_each_finding_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\nIt belongs to\nwho asks.\n")
    (tmp_path / "made_pb2.py").write_text("seat = 1\n")
    assert prose.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{page}:4: who: {WHO} / ")
    assert printed[1:] == ["FAILED: 1 found"]


def test_command_counts_findings_per_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text("A seat.\n")
    assert prose.main([str(tmp_path), "--count"]) == 1
    assert capsys.readouterr().out.split() == ["1", str(tmp_path), "FAILED:", "1", "found"]


def test_command_passes_text_without_findings(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("A caller waits for its answer.\n")
    assert prose.main([str(tmp_path)]) == 0


def test_chinese_pages_are_left_out_unless_they_are_named() -> None:
    page = prose.CHINESE / "index.md"
    assert page.exists()
    assert page not in prose.files_of([prose.ROOT / "docs"])
    assert list(prose.files_of([page])) == [page]
