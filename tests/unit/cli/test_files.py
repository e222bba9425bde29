"""Files that arguments name, and the standard input."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from pybrpc.cli import files
from pybrpc.cli.command import UsageError
from pybrpc.cli.files import READ_BYTES, read_bytes, text_in

pytestmark = pytest.mark.same_everywhere


@pytest.mark.parametrize("size_bytes", [0, 1, READ_BYTES, READ_BYTES + 1])
def test_file_is_read_to_its_end(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * size_bytes)
    assert read_bytes(str(path)) == b"a" * size_bytes


def test_file_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 3 * READ_BYTES)
    for read in (read_bytes, lambda path: text_in(f"@{path}")):
        with pytest.raises(UsageError, match=f"/dev/zero has over {3 * READ_BYTES} bytes"):
            read("/dev/zero")


def test_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}: Is a directory"):
        read_bytes(str(tmp_path))
    with pytest.raises(UsageError, match="/no/such: No such file"):
        text_in("@/no/such")


def test_text_is_the_argument_a_file_or_the_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("é")
    monkeypatch.setattr(sys, "stdin", io.StringIO("input"))
    assert [text_in(each) for each in ("{}", f"@{path}", "-")] == ["{}", "é", "input"]
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match=f"{path} is no UTF-8"):
        text_in(f"@{path}")


def test_standard_input_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 5)
    monkeypatch.setattr(sys, "stdin", io.StringIO("input"))
    assert text_in("-") == "input"
    monkeypatch.setattr(sys, "stdin", io.StringIO("input "))
    with pytest.raises(UsageError, match="the standard input has over 5 characters"):
        text_in("-")
