"""Which failures of a run of tests may be looked at again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from verification import failed_again

FAILED = ["tests/test_a.py::test_one", "tests/test_b.py::test_two[x y]"]


def test_failed_tests_are_read_from_the_cache_of_pytest(tmp_path: Path) -> None:
    cache = tmp_path / "lastfailed"
    assert failed_again.read_failed(cache) == []
    cache.write_text(json.dumps(dict.fromkeys(reversed(FAILED), True)))
    assert failed_again.read_failed(cache) == FAILED


@pytest.mark.parametrize(
    ("failed", "output", "why"),
    [
        (FAILED, "2 failed, 10 passed", ""),
        ([], "error: no space left", "no test is known to have failed"),
        (["test"] * 4, "4 failed", "4 tests failed, more than 3"),
        (FAILED[:1], "worker 'gw0' crashed while running 'test'", "a process of the tests crashed"),
    ],
)
def test_only_a_few_failures_are_looked_at_again(failed: list[str], output: str, why: str) -> None:
    assert failed_again.why_not_again(failed, output) == why


@pytest.mark.proof
@pytest.mark.parametrize("fails", [False, True])
def test_one_more_failure_is_one_too_many(tmp_path: Path, fails: bool) -> None:
    count = tmp_path / "count"
    test = tmp_path / "test_it.py"
    test.write_text(
        "from pathlib import Path\n"
        "def test_it():\n"
        f"    file = Path({str(count)!r})\n"
        "    file.write_text(file.read_text() + 'x' if file.exists() else 'x')\n"
        f"    assert not ({fails} and len(file.read_text()) == 4)\n"
    )
    assert failed_again.run_again([f"{test}::test_it"]) is not fails
    assert len(count.read_text()) == (4 if fails else failed_again.TIMES)
