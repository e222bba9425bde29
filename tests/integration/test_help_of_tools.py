"""The tools of the repository answer `--help`, each as a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.same_everywhere, pytest.mark.proof]

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "demo", "fuzz", "soak", "verification")


def tools() -> list[str]:
    """The modules of these folders that are programs with arguments."""
    found = []
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if path.name == "__main__.py" or (
                "ArgumentParser(" in text and '__name__ == "__main__"' in text
            ):
                names = path.relative_to(ROOT).with_suffix("").parts
                found.append(".".join(names).removesuffix(".__main__"))
    return sorted(found)


@pytest.mark.parametrize("tool", tools())
def test_tool_answers_help(tool: str) -> None:
    command = [sys.executable, "-m", tool, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
