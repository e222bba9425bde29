"""WorkerDirectory: paths of workers go through the name of the directory, not what it leads to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pybrpc.server.workers.worker_directory import WorkerDirectory, present_directory


@pytest.fixture
def current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A link to the release in which this process runs."""
    (tmp_path / "old" / "lib").mkdir(parents=True)
    (tmp_path / "older").mkdir()
    (tmp_path / "current").symlink_to("old")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    return tmp_path / "current"


def test_present_directory_has_the_name_of_the_shell(
    current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert present_directory() == str(current)
    for other in (str(current.parent), "current", "/no/such", ""):
        monkeypatch.setenv("PWD", other)
        assert present_directory() == os.path.realpath(current)
    monkeypatch.delenv("PWD")
    assert present_directory() == os.path.realpath(current)


def test_directory_that_was_removed_is_found_by_its_name(
    current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = current.parent / "new"
    new.mkdir()
    (current / "lib").rmdir()
    current.resolve().rmdir()
    assert present_directory() == os.sep
    current.unlink()
    current.symlink_to("new")
    assert present_directory() == str(current)


def test_paths_in_the_directory_go_through_its_name(
    current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = os.path.realpath(current)
    python, older = f"{release}/venv/bin/python", f"{release}er"
    monkeypatch.setattr(sys, "path", [release, f"{release}/lib", older, "", "/usr/lib"])
    monkeypatch.setattr(sys, "executable", python)
    directory = WorkerDirectory()
    assert directory.sys_path == [str(current), f"{current}/lib", older, "", "/usr/lib"]
    assert directory.executable == f"{current}/venv/bin/python"
    assert directory.environment["PWD"] == directory.path == str(current)


def test_names_stay_when_the_link_leads_elsewhere(current: Path) -> None:
    directory, release = WorkerDirectory(), os.path.realpath(current)
    current.unlink()
    current.symlink_to("older")
    assert directory.by_name(f"{release}/lib") == f"{current}/lib"
    assert WorkerDirectory().path == release, "it is not the present one by that name any more"


def test_given_directory_may_be_relative_to_the_present_one(current: Path) -> None:
    assert WorkerDirectory("lib").path == f"{current}/lib"
    assert WorkerDirectory(str(current.parent)).path == str(current.parent)


def test_root_has_no_other_name(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to("/")
    directory = WorkerDirectory(str(tmp_path / "root"))
    assert directory.by_name("/usr/lib") == f"{tmp_path}/root/usr/lib"
    assert WorkerDirectory("/").by_name("/usr/lib") == "/usr/lib"


def test_entries_of_sys_path_become_text(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Path("/a"), b"/b\xff", "/c", None, 5]
    monkeypatch.setattr(sys, "path", entries)
    assert WorkerDirectory().sys_path == ["/a", "/b\udcff", "/c"]


def test_workers_do_not_hear_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OTHER", "1")
    environment = WorkerDirectory().environment
    assert environment["OTHER"] == "1"
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(environment)
