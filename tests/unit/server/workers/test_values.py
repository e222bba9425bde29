"""Messages between a supervisor and its workers, and sums of statistics."""

from __future__ import annotations

import dataclasses
import json

import pytest

from pybrpc.server import ServerStatistics, SupervisorStatistics
from pybrpc.server.workers.messages import WorkerReport, WorkerSpec
from pybrpc.server.workers.settings import check_target, load_target
from pybrpc.server.workers.supervisor_statistics import GAUGES, added, counts_of

FIELDS = [field.name for field in dataclasses.fields(ServerStatistics)]
COUNTED = ServerStatistics(**{name: number + 1 for number, name in enumerate(FIELDS)})


def test_report_is_a_line_and_comes_back_as_it_was() -> None:
    report = WorkerReport(is_serving=True, failure="ü\n", statistics=COUNTED)
    line = report.to_line()
    assert line.count(b"\n") == 1
    assert WorkerReport.from_line(line) == report


def test_spec_comes_back_as_it_was() -> None:
    sys_path = ["/a b", "/ü", "", "/not \udcff UTF-8"]
    spec = WorkerSpec(1, "app:make", 7, 8, None, log_level="info", cores=[0, 2], sys_path=sys_path)
    command = spec.to_command("/bin/python")
    assert command[0] == "/bin/python"
    assert WorkerSpec.from_json(command[-1]) == spec


def test_worker_inherits_the_descriptors_that_it_has_a_use_for() -> None:
    spec = WorkerSpec(1, "app:make", 7, 8, None, orphan_fd=9)
    assert spec.fds == (7, 8, 9)
    assert dataclasses.replace(spec, pages_fd=10).fds == (7, 8, 9, 10)


def test_fields_of_another_release_are_passed_over() -> None:
    """A worker may be started after a new release was installed."""
    report = WorkerReport(is_serving=True, statistics=COUNTED)
    values = json.loads(report.to_line())
    values["new"] = values["statistics"]["newer"] = 1
    assert WorkerReport.from_line(json.dumps(values).encode()) == report
    spec = WorkerSpec(1, "app:make", 7, 8, None)
    values = json.loads(spec.to_command("python")[-1])
    assert WorkerSpec.from_json(json.dumps(values | {"new": 1})) == spec


def test_sum_of_statistics_has_every_field() -> None:
    doubled = added([COUNTED, COUNTED])
    assert dataclasses.astuple(doubled) == tuple(2 * n for n in dataclasses.astuple(COUNTED))
    assert added([]) == ServerStatistics()


def test_gauges_end_with_their_worker() -> None:
    """A new field of ServerStatistics is either a count, or has to be named in GAUGES."""
    left = dataclasses.asdict(counts_of(COUNTED))
    assert {name for name, value in left.items() if value} == {
        "accepted",
        "requests",
        "errors",
        "expired",
        "refused_connections",
    }
    assert set(FIELDS) >= GAUGES


def test_statistics_are_readable_as_text() -> None:
    assert str(SupervisorStatistics(COUNTED, deaths=3)).startswith("all: 1 accepted, ")
    assert str(SupervisorStatistics(COUNTED, deaths=3)).endswith(" streams, 3 deaths")


def test_target_may_be_inside_of_a_class() -> None:
    assert check_target("os:path.join") == "os:path.join"
    assert load_target("collections:OrderedDict.fromkeys")("a") == {"a": None}


@pytest.mark.parametrize("target", ["", "os", "os:", ":path", "os:a b", "os.:x", "a:b:c"])
def test_text_that_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="name the function that makes the server"):
        check_target(target)


def test_target_in_main_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be imported by another process"):
        check_target("__main__:make_server")
