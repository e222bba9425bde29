"""SECURITY.md: each line of its tables names tests that exist, and its options are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pybrpc.server.settings import ServerOptions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
LINES = [line for line in PAGE.splitlines() if line.startswith("| ") and "test" in line]
OPTIONS = re.findall(r"^        (\w+)=", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def tests() -> set[str]:
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    return {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.M)}


def test_every_line_names_tests_that_exist(tests: set[str]) -> None:
    rows = [line for line in LINES if "| test |" not in line]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= tests, row


def test_options_of_the_page_are_those_of_a_server() -> None:
    assert len(OPTIONS) >= 5
    assert set(OPTIONS) <= ServerOptions.__annotations__.keys()
