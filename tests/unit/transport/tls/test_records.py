"""ReceivedRecords gives whole records, in small groups."""

from __future__ import annotations

import random
import struct

import pytest

from pybrpc.transport.tls.records import GROUP_BYTES, MAX_RECORDS, ReceivedRecords


def record(size: int, kind: int = 23) -> bytes:
    return struct.pack("!BHH", kind, 0x0303, size) + bytes(size)


def groups_of(records: ReceivedRecords) -> list[tuple[bytes, int]]:
    groups: list[tuple[bytes, int]] = []
    while True:
        group, count = records.take_group()
        if not count:
            assert not group
            return groups
        groups.append((bytes(group), count))


@pytest.mark.parametrize("seed", range(20))
def test_all_records_come_out_whole_and_in_order_however_they_are_received(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice([0, 1, 22, 500, 16_384 + 256]) for _ in range(60)]
    data = b"".join(map(record, sizes))
    records, found = ReceivedRecords(), []
    at = 0
    while at < len(data):
        size = rng.choice([1, 3, 100, 20_000])
        records.add(data[at : at + size])
        at += size
        found += groups_of(records)
        assert len(records) <= GROUP_BYTES
    assert b"".join(group for group, _ in found) == data
    assert sum(count for _, count in found) == len(sizes)
    assert all(len(group) <= GROUP_BYTES and count <= MAX_RECORDS for group, count in found)


def test_groups_have_few_records() -> None:
    records = ReceivedRecords()
    records.add(record(22) * (2 * MAX_RECORDS + 1))
    assert [count for _, count in groups_of(records)] == [MAX_RECORDS, MAX_RECORDS, 1]


def test_records_may_be_added_before_all_were_taken() -> None:
    records = ReceivedRecords()
    records.add(record(22) * (MAX_RECORDS + 1))
    records.take_group()
    records.add(record(1) + b"\x17")
    assert groups_of(records) == [(record(22) + record(1), 2)]
    assert (len(records), repr(records)) == (1, "<ReceivedRecords 1 bytes>")


@pytest.mark.parametrize("rest", [b"", b"\x17\x03\x03\x40\x00" + bytes(1000)])
def test_records_that_were_taken_are_not_kept(rest: bytes) -> None:
    records = ReceivedRecords()
    records.add(record(16_000) * 10 + rest)
    groups_of(records)
    assert len(records._data) == len(records) == len(rest)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n", b"\x17\x03\x03\xff\xff", b"\x13abcd"])
def test_garbage_is_given_to_tls_as_it_is(garbage: bytes) -> None:
    records = ReceivedRecords()
    records.add(record(22) + garbage)
    assert groups_of(records) == [(record(22) + garbage, 2)]
