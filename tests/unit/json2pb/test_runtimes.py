"""Results are the same on each runtime of protobuf, and without orjson."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WITHOUT_ORJSON = """
import sys
sys.modules["orjson"] = None
from pybrpc.json2pb import json_values
assert json_values.orjson_loads is None
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
TESTS = ("test_brpc_protobuf_json.py", "test_json_to_pb.py", "test_pb_to_json.py")


@pytest.mark.proof
@pytest.mark.parametrize(
    ("runner", "runtime"), [(["-m", "pytest"], "python"), (["-c", WITHOUT_ORJSON], "upb")]
)
def test_json_is_the_same(runner: list[str], runtime: str) -> None:
    paths = [str(Path(__file__).with_name(name)) for name in TESTS]
    result = subprocess.run(
        [sys.executable, *runner, "-q", "-p", "no:cacheprovider", *paths],
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": runtime},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
