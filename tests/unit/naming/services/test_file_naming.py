"""file://: changes, files that are replaced, half written, deleted or wrong. Real files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.errors import AddressError, NamingError
from pybrpc.naming import NamingUrl, watch, watched
from pybrpc.naming.services import file_naming
from pybrpc.naming.services.file_naming import FileNaming
from tests.peers.http_stand_in import eventually
from tests.peers.naming_watchers import RecordingWatcher, watching


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "servers"


@pytest.fixture
def watcher(path: Path) -> Iterator[RecordingWatcher]:
    path.write_text("a:1 3\n# comment\n\nb:2\n")
    with watching(f"file://{path}?interval=0.01&confirm_interval=0.01") as made:
        made.wait_list("a:1 3", "b:2")
        yield made


def test_change_is_read(watcher: RecordingWatcher, path: Path) -> None:
    path.write_text("c:1\r\nb:2\r\n")
    watcher.wait_list("c:1", "b:2")
    assert watcher.errors == []


def test_file_that_is_replaced_by_rename_is_read(watcher: RecordingWatcher, path: Path) -> None:
    """Also if time and size are those of the old one, as with `cp -p`."""
    other = path.with_name("other")
    other.write_text("a:1 4\n# comment\n\nb:2\n")
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)
    watcher.wait_list("a:1 4", "b:2")


def test_deleted_file_keeps_the_list_and_is_found_again(
    watcher: RecordingWatcher, path: Path
) -> None:
    path.unlink()
    watcher.wait_error("No such file")
    watcher.wait(lambda: len(watcher.errors) >= 3)
    assert watcher.lists == [["a:1 3", "b:2"]]
    path.write_text("c:3\n")
    watcher.wait_list("c:3")


def test_truncated_file_keeps_the_list_until_it_has_been_empty_for_long(
    watcher: RecordingWatcher, path: Path
) -> None:
    path.write_text("")
    watcher.wait_error("has no servers any more")
    watcher.wait_list()
    assert watcher.lists == [["a:1 3", "b:2"], []]
    path.write_text("c:3\n")
    watcher.wait_list("c:3")


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"\xff\xfe", "can't decode"), (b"nothing good\nhere\n", "no server can be used")],
)
def test_wrong_content_keeps_the_list(
    watcher: RecordingWatcher, path: Path, content: bytes, text: str
) -> None:
    path.write_bytes(content)
    watcher.wait_error(text)
    assert watcher.lists == [["a:1 3", "b:2"]]
    path.write_text("c:3\n")
    watcher.wait_list("c:3")


def test_file_that_is_being_written_is_not_read(path: Path) -> None:
    path.write_text("a:1\n")
    service = FileNaming(NamingUrl("file", str(path)))
    assert service.fetch() is not None
    assert service.fetch() is None
    for count in range(2, 5):
        path.write_text("a:1\n" * count)
        assert service.fetch() is None, "it may be half of a file"
    found = service.fetch()
    assert found is not None
    assert len(found) == 4
    assert service.fetch() is None
    service.forget()
    assert service.fetch() is not None


def test_file_that_is_missing_at_first_is_waited_for(path: Path) -> None:
    url = f"file://{path}?interval=0.01"
    with watching(url) as watcher:
        watcher.wait_error("No such file")
        assert watcher.last is None
        assert watched()[url].servers is None
        path.write_text("a:1\n")
        watcher.wait_list("a:1")
        eventually(lambda: not watched()[url].is_failing)


def test_file_that_is_too_long_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_naming, "MAX_ANSWER_BYTES", 10)
    path.write_text("a:1 " + "x" * 20)
    with pytest.raises(NamingError, match="more than 10 bytes"):
        FileNaming(NamingUrl("file", str(path))).fetch()


def test_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NamingError, match="Is a directory"):
        FileNaming(NamingUrl("file", str(tmp_path))).fetch()


@pytest.mark.parametrize("url", ["file://", "file://?interval=1", "file:///x?color=red"])
def test_wrong_urls_are_refused(url: str) -> None:
    with pytest.raises(AddressError):
        watch(url, RecordingWatcher())
