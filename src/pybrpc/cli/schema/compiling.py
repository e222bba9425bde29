""".proto files to descriptors, by protoc or by grpcio-tools."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from pybrpc.cli.command import MISSING, CommandError, UsageError

COMPILE_S = 60.0
"""Seconds that the compiler may take."""


def compiled(files: Sequence[str], paths: Sequence[str]) -> FileDescriptorSet:
    """The descriptors of .proto files, with all that they import.

    `paths`: where imports are looked for; none: the directories of the files. UsageError with the
    first line of the compiler if a file is wrong, CommandError if there is no compiler.
    """
    for each in files:
        if not Path(each).is_file():
            raise UsageError(f"there is no file {each}")
    where = list(paths) or list(dict.fromkeys(str(Path(each).parent) for each in files))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        command = [
            *compiler(),
            "--include_imports",
            f"--descriptor_set_out={out}",
            *(f"-I{path}" for path in where),
            *files,
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=COMPILE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CommandError(f"{command[0]}: {error}") from error
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if " WARNING " not in line]
            text = " ".join(lines[:1])
            is_place = not paths and ("File not found" in text or "is shadowed" in text)
            hint = "; --proto-path says in which directory imports begin" if is_place else ""
            raise UsageError(f"the compiler refuses it: {text}{hint}")
        return FileDescriptorSet.FromString(out.read_bytes())


def compiler() -> list[str]:
    """The command of a compiler: protoc, or that of grpcio-tools."""
    found = shutil.which("protoc")
    if found is not None:
        return [found]
    if importlib.util.find_spec("grpc_tools") is not None:
        return [sys.executable, "-m", "grpc_tools.protoc"]
    raise CommandError(
        ".proto files need a compiler: install protoc (protobuf-compiler), or: "
        "pip install grpcio-tools",
        MISSING,
    )
