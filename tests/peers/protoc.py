"""Protoc: the compilers of .proto files that are here, run with this pybrpc as their plugin.

protoc       Debian's, as old as the system
grpc_tools   that of the package grpcio-tools, which is new
buf          compiles by itself, and runs the plugin; of the package buf-bin, which has 16 MB
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

import pybrpc
from tests.peers.programs import VARIABLE

PROTOCS = [
    pytest.param("protoc", marks=pytest.mark.program("protoc")),
    "grpc_tools",
]


class Protoc:
    """A protoc, and a directory with the plugin."""

    def __init__(self, kind: str, directory: Path) -> None:
        """Skips the test if there is none of that kind."""
        if kind == "grpc_tools":
            pytest.importorskip("grpc_tools.protoc", reason="there is no grpcio-tools here")
            self._command = [sys.executable, "-m", "grpc_tools.protoc"]
        else:
            self._command = [kind]
        self.plugin = plugin_in(directory)

    def run(
        self, source: Path, files: Sequence[str], arguments: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        """Compile `files` below `source`. Does not fail if protoc does."""
        plugin = f"--plugin=protoc-gen-pybrpc={self.plugin}"
        command = [*self._command, plugin, f"--proto_path={source}", *arguments, *files]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def compile(self, source: Path, files: Sequence[str], arguments: Sequence[str]) -> None:
        """`run`; protoc has to succeed."""
        result = self.run(source, files, arguments)
        assert result.returncode == 0, result.stderr


def any_protoc(directory: Path) -> Protoc:
    """The newest one that is here. Skips the test if there is none."""
    is_new = importlib.util.find_spec("grpc_tools") is not None
    if not is_new and shutil.which("protoc") is None:
        pytest.skip("there is neither grpcio-tools here nor protoc")
    return Protoc("grpc_tools" if is_new else "protoc", directory)


def plugin_in(directory: Path) -> Path:
    """A command in `directory` that runs the plugin of this pybrpc with this Python."""
    source = str(Path(pybrpc.__file__).parents[1])
    script = directory / "protoc-gen-pybrpc"
    path = f"{source}${{PYTHONPATH:+:$PYTHONPATH}}"
    script.write_text(
        f"#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -m pybrpc.codegen.plugin\n"
    )
    script.chmod(0o755)
    return script


def find_buf() -> str:
    """The command buf: of this environment, or on the PATH. Without it the test is skipped, or
    fails where programs are required."""
    found = shutil.which("buf", path=sysconfig.get_path("scripts")) or shutil.which("buf")
    if found is not None:
        return found
    reason = "there is no buf here: pip install buf-bin"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def buf_generate(source: Path, target: Path, options: Sequence[str] = ()) -> None:
    """Have buf compile all files below `source`, and the plugin write into `target`. Skips the
    test if there is no buf."""
    buf = find_buf()
    target.mkdir()
    template = {
        "version": "v2",
        "plugins": [
            {"local": str(plugin_in(target.parent)), "out": str(target), "opt": list(options)}
        ],
    }
    command = [buf, "generate", str(source), "--template", json.dumps(template)]
    subprocess.run(command, check=True, cwd=target.parent, capture_output=True)
