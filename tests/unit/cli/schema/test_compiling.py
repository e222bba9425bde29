""".proto files: the compiler, and files that it refuses."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from pybrpc.cli.command import MISSING, CommandError, UsageError
from pybrpc.cli.schema.compiling import compiled, compiler

pytestmark = pytest.mark.same_everywhere

needs_protoc = pytest.mark.skipif(shutil.which("protoc") is None, reason="protoc is not installed")
MAIN = 'syntax = "proto3"; package a; import "common.proto"; message M { b.C c = 1; }'
COMMON = 'syntax = "proto3"; package b; message C { string text = 1; }'


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "main.proto").write_text(MAIN)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "common.proto").write_text(COMMON)
    return tmp_path


@needs_protoc
def test_imports_are_looked_for_where_they_are_said_to_be(files: Path) -> None:
    found = compiled([str(files / "main.proto")], [str(files), str(files / "shared")])
    assert [file.name for file in found.file] == ["common.proto", "main.proto"]


@needs_protoc
def test_directory_of_a_file_is_searched_without_being_named(files: Path) -> None:
    found = compiled([str(files / "shared" / "common.proto")], [])
    assert [file.package for file in found.file] == ["b"]


@needs_protoc
def test_error_of_the_compiler_is_told(files: Path) -> None:
    with pytest.raises(UsageError, match=r"common\.proto: File not found\.$"):
        compiled([str(files / "main.proto")], [str(files)])
    (files / "wrong.proto").write_text("message {")
    with pytest.raises(UsageError, match=r"wrong\.proto:1:9: Expected message name"):
        compiled([str(files / "wrong.proto")], [])


@needs_protoc
def test_import_that_is_not_beside_its_file_is_an_error_that_says_what_helps(files: Path) -> None:
    said = r"common\.proto: File not found\.; --proto-path says in which directory imports begin$"
    with pytest.raises(UsageError, match=said):
        compiled([str(files / "main.proto")], [])
    (files / "other").mkdir()
    (files / "other" / "common.proto").write_text(COMMON.replace("package b", "package c"))
    both = [str(files / each / "common.proto") for each in ("shared", "other")]
    with pytest.raises(UsageError, match=r"is shadowed in .*; --proto-path says in which"):
        compiled(both, [])
    assert len(compiled(both, [str(files)]).file) == 2


def test_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="there is no file /no/such"):
        compiled(["/no/such"], [])


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match="pip install grpcio-tools") as caught:
        compiler()
    assert caught.value.status == MISSING


def test_compiler_of_grpcio_tools_is_used_without_protoc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert compiler()[1:] == ["-m", "grpc_tools.protoc"]
