"""Ten thousands of calls, cancelled calls, connections, streams and messages leave nothing behind.

`python -m soak.flat` is the same with a million.
"""

from __future__ import annotations

import pytest

from soak import flat
from soak.flat import WORKS, Checkpoint, growth, main, run_parts
from soak.process_watch import Sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("calls", 20_000),
        ("cancelled", 20_000),
        ("connections", 5_000),
        pytest.param("streams", 4_000, marks=pytest.mark.proof),
        ("messages", 40_000),
    ],
)
def test_ended_calls_and_connections_leave_no_objects(name: str, count: int) -> None:
    found: list[Checkpoint] = []
    run_parts(WORKS[name], count, 4, found.append)
    assert [each.done for each in found] == [count // 4 * part for part in range(1, 5)]
    assert growth(found) == []


def test_objects_that_are_kept_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[list[int]] = []
    monkeypatch.setattr(flat, "TIMEOUT_S", 0.5)
    monkeypatch.setitem(
        WORKS, "calls", lambda address, count: kept.extend([] for _ in range(count))
    )
    others = [each for name in WORKS if name != "calls" for each in (f"--{name}", "0")]
    assert main(["--calls", "4000", *others, "--parts", "2"]) == 1
    assert "objects grew by" in capsys.readouterr().out


def test_descriptors_and_threads_may_not_grow_at_all() -> None:
    first = Checkpoint(1, Sizes(9, 5, 1), 100, 1000)
    assert growth([first, Checkpoint(2, Sizes(9, 4, 100), 100, 1000)]) == []
    assert len(growth([first, Checkpoint(2, Sizes(10, 6, 1), 100, 1000)])) == 2


def test_streams_that_are_not_over_are_reported() -> None:
    sizes = Sizes(9, 5, 1)
    assert growth([Checkpoint(1, sizes, 1, 1), Checkpoint(2, sizes, 1, 1, streams=2)]) == [
        "streams grew by 2, more than 0"
    ]
