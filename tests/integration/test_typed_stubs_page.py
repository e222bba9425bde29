"""docs/typed-stubs.md: its commands make the code that its examples use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pybrpc
from tests.peers.pages import ROOT
from tests.peers.protoc import any_protoc, find_buf, plugin_in
from tests.peers.redis_server import free_port

pytestmark = pytest.mark.same_everywhere

PAGE = (ROOT / "docs/typed-stubs.md").read_text()
MADE = {"echo_brpc.py", "echo_pb2.py", "echo_pb2.pyi"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the echo.proto of the page, and a PATH with the plugin and this Python."""
    commands = tmp_path / "bin"
    commands.mkdir()
    plugin_in(commands)
    python = commands / "python"  # a link to it would not find the packages of its environment
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "made"
    folder.mkdir()
    (proto,) = blocks("proto")
    (folder / "echo.proto").write_text(proto)
    return folder


def run(command: str, folder: Path) -> None:
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)


def made_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.stem.startswith("echo_")}


# In a process of its own: other tests have messages of the same names.
PROGRAM = """
import asyncio, sys
from tests.peers.pages import run_page
names = {"asyncio": asyncio}
run_page("docs/typed-stubs.md", names, {"127.0.0.1:8000": sys.argv[1]})
names["server"].join()
print(names["EchoServiceStub"].__doc__)
"""


def test_examples_run(folder: Path) -> None:
    any_protoc(folder).compile(
        folder, ["echo.proto"], [f"--python_out={folder}", f"--pybrpc_out={folder}"]
    )
    paths = [str(folder), str(Path(pybrpc.__file__).parents[1]), str(ROOT)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", PROGRAM, f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "hello later\nhello task\nSays again what it hears.\n"


def test_command_of_grpc_tools_runs(folder: Path) -> None:
    pytest.importorskip("grpc_tools.protoc", reason="there is no grpcio-tools here")
    run(blocks("sh")[0], folder)
    assert made_in(folder) == MADE


@pytest.mark.program("protoc")
def test_command_of_protoc_runs(folder: Path) -> None:
    run(blocks("sh")[1], folder)
    assert made_in(folder) == MADE


@pytest.mark.program("protoc")
def test_file_of_buf_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = os.path.dirname(find_buf())
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{directory}")
    (template,) = blocks("yaml")
    (folder / "buf.gen.yaml").write_text(template)
    run("buf generate", folder)
    assert made_in(folder) == MADE


def test_no_example_is_left_out() -> None:
    assert {name: len(blocks(name)) for name in ("python", "sh", "proto", "yaml", "toml")} == {
        "python": 3,
        "sh": 2,
        "proto": 1,
        "yaml": 1,
        "toml": 1,
    }
    assert PAGE.count("```") == 2 * 8
