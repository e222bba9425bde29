"""DumpWriter: requests are written in order to files that rotate, or dropped and counted."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, StreamSettings
from pybrpc.server.rpc_dump.dump_format import DumpedRequest, read_requests
from pybrpc.server.rpc_dump.dump_writer import SHARED_BYTES, DumpWriter
from pybrpc.server.rpc_dump.rpc_dump import RpcDump
from tests.fakes.threads import wait_until

FAR_S = 30.0


class Call(NamedTuple):
    request: RpcRequest


def call(body: bytes = b"body", **fields: Any) -> Call:
    return Call(RpcRequest(1, "a.S", "M", body, **fields))


def run(options: RpcDump, calls: list[Call], protocol: str = "baidu_std") -> DumpWriter:
    """Sample all calls, and wait until they are written."""
    writer = DumpWriter(options)
    writer.start()
    writer.sample(protocol, calls)
    writer.close()
    writer.join(time.monotonic() + FAR_S)
    return writer


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def requests_in(directory: Path) -> Iterator[DumpedRequest]:
    for path in files_in(directory):
        with path.open("rb") as file:
            yield from read_requests(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "dump"


def test_requests_are_written_in_order_for_the_owner_alone(folder: Path) -> None:
    calls = [call(b"%d" % number, compress_type=number) for number in range(3)]
    writer = run(RpcDump(directory=str(folder)), calls)
    assert [each.body for each in requests_in(folder)] == [b"0", b"1", b"2"]
    assert [each.compress_type for each in requests_in(folder)] == [0, 1, 2]
    (path,) = files_in(folder)
    assert path.name.startswith("requests.2")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (writer.written, writer.dropped, writer.waiting_bytes) == (3, 0, 0)


@pytest.mark.parametrize("size", [5, SHARED_BYTES + 5])
def test_attachment_is_that_which_came_whatever_the_handler_does(folder: Path, size: int) -> None:
    attachment = IOBuf(b"a" * size)
    options = RpcDump(directory=str(folder))
    writer = DumpWriter(options)
    body = bytearray(b"b" * size)
    writer.sample("baidu_std", [call(memoryview(body), attachment=attachment)])
    attachment.cutn(size)
    writer.start()
    writer.close()
    writer.join(time.monotonic() + FAR_S)
    (found,) = requests_in(folder)
    assert (found.body, found.attachment) == (b"b" * size, b"a" * size)


class Packer(NamedTuple):
    name: str


def test_other_protocols_and_streams_are_passed_over(folder: Path) -> None:
    options = RpcDump(directory=str(folder))
    calls = [
        call(packer=Packer("hulu_pbrpc")),
        call(stream_settings=StreamSettings(1)),
        call(b"good"),
    ]
    assert run(options, calls).written == 1
    assert run(options, [call(), call(packer=Packer("baidu_std"))], "sofa_pbrpc").written == 1
    assert next(requests_in(folder)).body == b"good"


def test_files_rotate_and_the_oldest_ones_are_removed(folder: Path) -> None:
    options = RpcDump(directory=str(folder), max_files=2, max_requests_in_one_file=2)
    calls = [call(b"%d" % number) for number in range(7)]
    run(options, calls[:4])
    (folder / "other").write_text("not ours")
    run(options, calls[4:])
    kept = [path for path in files_in(folder) if path.name != "other"]
    assert len(kept) == 2
    (folder / "other").unlink()
    assert [each.body for each in requests_in(folder)] == [b"4", b"5", b"6"]


def test_long_requests_fill_a_file_too(folder: Path) -> None:
    options = RpcDump(directory=str(folder), max_file_bytes=1000)
    run(options, [call(b"x" * 600) for _ in range(4)])
    assert len(files_in(folder)) == 2


def test_what_does_not_fit_is_dropped_and_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = RpcDump(directory=str(folder), max_waiting_bytes=2000)
    writer = DumpWriter(options)
    writer.sample("baidu_std", [call(b"x" * 1000) for _ in range(3)])
    assert writer.dropped == 2
    assert writer.waiting_bytes < 2000
    with caplog.at_level(logging.WARNING, "pybrpc.server"):
        writer.start()
        writer.close()
        writer.join(time.monotonic() + FAR_S)
    assert "rpc_dump is too slow: 2 requests were dropped" in caplog.text
    assert writer.written == 1


def test_rate_and_share_are_limits(folder: Path) -> None:
    many = [call() for _ in range(1000)]
    assert 1 <= run(RpcDump(directory=str(folder), per_second=20), many).written <= 60
    part = run(RpcDump(directory=str(folder), share=0.5, per_second=1 << 20), many).written
    assert 300 < part < 700


def test_disk_that_fails_fails_nobody_and_the_next_request_is_written(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = DumpWriter(RpcDump(directory=str(folder)))
    writer.start()
    shutil.rmtree(folder)
    folder.write_text("in the way")
    writer.sample("baidu_std", [call(b"lost")])
    wait_until(lambda: "rpc_dump can't write a request" in caplog.text)
    os.unlink(folder)
    folder.mkdir(0o700)
    writer.sample("baidu_std", [call(b"kept")])
    writer.close()
    writer.join(time.monotonic() + FAR_S)
    assert [each.body for each in requests_in(folder)] == [b"kept"]
    assert writer.written == 1


def test_sampling_never_raises(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        @property
        def request(self) -> RpcRequest:
            raise RuntimeError("broken by a test")

    DumpWriter(RpcDump(directory=str(folder))).sample("baidu_std", [Broken()])  # type: ignore[list-item]
    assert "Fail to sample a request" in caplog.text


def test_names_that_a_peer_chooses_are_counted(folder: Path) -> None:
    writer = DumpWriter(RpcDump(directory=str(folder), max_waiting_bytes=100_000))
    named = RpcRequest(1, "S" * 60_000, "M", b"body")
    writer.sample("baidu_std", [Call(named), Call(named)])
    assert writer.dropped == 1
    assert 60_000 < writer.waiting_bytes < 100_000


def test_write_that_fails_leaves_whole_requests_and_removes_no_good_file(folder: Path) -> None:
    options = RpcDump(directory=str(folder), max_requests_in_one_file=1, max_files=6)
    run(options, [call(b"%d" % number) for number in range(5)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        writer = run(options, [call(b"x" * 9000) for _ in range(8)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert writer.written == 0
    assert [each.body for each in requests_in(folder)] == [b"0", b"1", b"2", b"3", b"4"]


def test_file_that_gets_a_part_of_a_request_keeps_those_before_it(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        run(RpcDump(directory=str(folder)), [call(b"kept"), call(b"x" * 9000), call(b"next")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [each.body for each in requests_in(folder)] == [b"kept", b"next"]


def test_files_of_others_stay_and_disturb_nothing(folder: Path) -> None:
    folder.mkdir(0o700)
    (folder / "requests.jsonl").write_text("of the user")
    (folder / "requests.20200101_000000_000000").mkdir()
    run(RpcDump(directory=str(folder), max_files=1), [call()])
    run(RpcDump(directory=str(folder), max_files=1), [call()])
    names = {path.name for path in files_in(folder)}
    assert {"requests.jsonl", "requests.20200101_000000_000000"} < names
    assert len(names) == 3


def test_file_that_somebody_removes_is_followed_by_another_one(folder: Path) -> None:
    writer = DumpWriter(RpcDump(directory=str(folder)))
    writer.start()
    writer.sample("baidu_std", [call(b"lost")])
    wait_until(lambda: not writer.waiting_bytes)
    shutil.rmtree(folder)
    folder.mkdir(0o700)
    writer.sample("baidu_std", [call(b"kept")])
    writer.close()
    writer.join(time.monotonic() + FAR_S)
    assert [each.body for each in requests_in(folder)] == [b"kept"]
