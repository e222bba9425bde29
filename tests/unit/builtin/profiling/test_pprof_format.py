"""profile.proto: judged by protobuf's own parser, and by `go tool pprof`."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.builtin.profiling.pprof_format import pprof_bytes, varint
from tests.fakes.profiles import HOSTILE, profile_of

# Fields of profile.proto (github.com/google/pprof): name, number, type; * is repeated.
SCHEMA = {
    "ValueType": "type 1 int64, unit 2 int64",
    "Sample": "location_id 1 *uint64, value 2 *int64, label 3 *Label",
    "Label": "key 1 int64, str 2 int64, num 3 int64, num_unit 4 int64",
    "Mapping": "id 1 uint64, filename 5 int64, has_functions 7 bool",
    "Location": "id 1 uint64, mapping_id 2 uint64, address 3 uint64, line 4 *Line",
    "Line": "function_id 1 uint64, line 2 int64",
    "Function": "id 1 uint64, name 2 int64, system_name 3 int64, filename 4 int64",
    "Profile": "sample_type 1 *ValueType, sample 2 *Sample, mapping 3 *Mapping, "
    "location 4 *Location, function 5 *Function, string_table 6 *string, time_nanos 9 int64, "
    "duration_nanos 10 int64, period_type 11 ValueType, period 12 int64, comment 13 *int64, "
    "default_sample_type 14 int64",
}
Field = descriptor_pb2.FieldDescriptorProto


def parsed(data: bytes) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            field_name, number, kind = field.split()
            scalar = getattr(Field, f"TYPE_{kind.lstrip('*').upper()}", None)
            message.field.add(
                name=field_name,
                number=int(number),
                label=Field.LABEL_REPEATED if kind[0] == "*" else Field.LABEL_OPTIONAL,
                type=scalar or Field.TYPE_MESSAGE,
                type_name=None if scalar else f".p.{kind.lstrip('*')}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Profile"))
    return kind.FromString(gzip.decompress(data))


def stacks_in(profile: Any) -> dict[str, int]:
    """As `profile_of` takes them."""
    found: dict[str, int] = {}
    strings = list(profile.string_table)
    functions = {f.id: strings[f.name] for f in profile.function}
    locations = {place.id: functions[place.line[0].function_id] for place in profile.location}
    for sample in profile.sample:
        names = [locations[number] for number in reversed(sample.location_id)]
        found[";".join(names)] = sample.value[1]
    return found


TEXT = st.text(st.characters(exclude_characters=";", exclude_categories=["Cs"]), max_size=5)


@given(
    st.dictionaries(
        st.lists(TEXT, min_size=1, max_size=4).map(";".join),
        st.integers(-(2**63), 2**63 - 1),
        max_size=8,
    )
)
def test_protobuf_reads_the_stacks_and_values_that_were_written(stacks: dict[str, int]) -> None:
    message = parsed(pprof_bytes(profile_of(stacks)))
    assert stacks_in(message) == stacks
    assert message.string_table[0] == ""


def test_types_times_and_labels_are_written() -> None:
    profile = parsed(pprof_bytes(profile_of({"a": 5}, thread="worker-*", task="refresh")))
    strings = profile.string_table
    types = [(strings[t.type], strings[t.unit]) for t in profile.sample_type]
    assert types == [("samples", "count"), ("cpu", "nanoseconds")]
    labels = [(strings[label.key], strings[label.str]) for label in profile.sample[0].label]
    assert labels == [("thread", "worker-*"), ("task", "refresh")]
    assert profile.time_nanos == 1_700_000_000 * 10**9
    assert profile.duration_nanos == 10 * 10**9
    assert profile.period == 10_000_000
    assert strings[profile.default_sample_type] == "cpu"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (300, b"\xac\x02"),
        (-1, b"\xff" * 9 + b"\x01"),
        (2**63 - 1, b"\xff" * 8 + b"\x7f"),
    ],
)
def test_varints_are_those_of_protobuf(value: int, written: bytes) -> None:
    assert varint(value) == written


@pytest.mark.program("go")
def test_go_tool_pprof_shows_the_functions(tmp_path: Path) -> None:
    stacks = {"main;work;read": 600_000_000, "main;work": 300_000_000}
    stacks[f"main;{HOSTILE}"] = 100_000_000
    file = tmp_path / "cpu.pb.gz"
    file.write_bytes(pprof_bytes(profile_of(stacks, thread="worker-*", task=HOSTILE)))
    result = subprocess.run(
        ["go", "tool", "pprof", "-top", "-nodefraction=0", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["Type:", "cpu"] in lines
    assert ["600ms", "60.00%", "60.00%", "600ms", "60.00%", "read"] in lines
    assert ["300ms", "30.00%", "90.00%", "900ms", "90.00%", "work"] in lines
