"""Files that are watched, and what counts as a change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pybrpc.cli import reloading
from pybrpc.cli.reloading import Reloading, times_of

pytestmark = pytest.mark.same_everywhere


def touch(path: Path, time_ns: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, ns=(time_ns, time_ns))


def test_python_files_below_are_watched_but_not_those_of_others(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", "b/d.txt", ".git/e.py", "__pycache__/f.py", "venv/g.py"):
        touch(tmp_path / name)
    touch(tmp_path / "venv" / "pyvenv.cfg")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "broken.py").symlink_to(tmp_path / "nothing")
    found = {
        os.path.relpath(path, tmp_path): time for path, time in times_of(str(tmp_path)).items()
    }
    assert found == {"a.py": 5, "b/c.py": 5}


def test_link_of_an_editor_that_leads_nowhere_hides_no_other_file(tmp_path: Path) -> None:
    """Emacs makes one for each open file. The system lists a directory in any order."""
    for number in range(20):
        touch(tmp_path / f"{number}.py")
        touch(tmp_path / str(number) / "inside.py")
        (tmp_path / f".#{number}.py").symlink_to(f"somebody@host.{number}")
    assert len(times_of(str(tmp_path))) == 40


def test_changed_new_and_removed_files_are_told_once(tmp_path: Path) -> None:
    for name in ("changed.py", "removed.py", "same.py"):
        touch(tmp_path / name)
    told: list[list[str]] = []
    watch = Reloading(str(tmp_path), told.append)
    watch.look()
    assert told == []
    touch(tmp_path / "changed.py", 6)
    touch(tmp_path / "new.py")
    (tmp_path / "removed.py").unlink()
    watch.look()
    watch.look()
    assert told == [["changed.py", "new.py", "removed.py"]]


def test_directory_that_is_gone_has_no_files(tmp_path: Path) -> None:
    assert times_of(str(tmp_path / "nothing")) == {}


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "MAX_FILES", 3)
    for number in range(5):
        touch(tmp_path / f"{number}.py")
    assert len(times_of(str(tmp_path))) == 3


def test_stop_without_start_does_nothing(tmp_path: Path) -> None:
    Reloading(str(tmp_path), print).stop()
