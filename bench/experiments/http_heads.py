"""The cost of parsing a head of HTTP/1: by pybrpc's patterns, and by httptools.

python -m bench.experiments.http_heads                   processor time, the best of several rounds
python -m bench.experiments.http_heads --instructions    instructions, by valgrind's callgrind

Parsers of the same heads, and parts of them:

- patterns: that of pybrpc, with all that it checks;
- httptools: a parser that makes the same RequestHead of what llhttp reports, with the checks that
  llhttp leaves to others. It would be the parser "where httptools is installed";
- callbacks: llhttp that appends the headers to a list, and no more: the least that it can take;
- shared: the RequestHead of headers that were found already, which is part of the first two.

Verdict (2 busy cores, CPython 3.11, httptools 0.9): for three headers of wrk the patterns take
4.8 us and 39,600 instructions, httptools 7.9 us and 58,300, its callbacks alone 1.5 us and 12,100,
the shared part 2.6 us and 20,700; for sixteen headers of Chrome 13.3, 16.3, 3.6 and 4.1 us. So
httptools does not pay, though llhttp is quick: its headers must become texts, and be checked once
more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httptools

from bench.child_process import ChildProcess
from pybrpc.protocols.http1.grammar import TARGET
from pybrpc.protocols.http1.head import RequestHead, new_request_head
from pybrpc.protocols.http1.head_parser import PATTERN_HEAD_PARSER
from pybrpc.protocols.http1.options import DEFAULT_OPTIONS

ROUNDS = 15
ROUND_CALLS = 2000
COUNTED = 500
"""Heads of each kind that each parser parses in callgrind."""
LIMIT_S = 600.0
"""A step in callgrind that takes so long hangs."""

_httptools: Any = httptools
Parse = Callable[[bytes], object]


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


HEADS: Mapping[str, bytes] = {
    "wrk, 3 headers": _head(
        "POST /EchoService/Echo HTTP/1.1",
        "Host: 127.0.0.1:8000",
        "Content-Type: application/json",
        "Content-Length: 46",
    ),
    "curl, 5 headers": _head(
        "POST /EchoService/Echo HTTP/1.1",
        "Host: 127.0.0.1:8000",
        "User-Agent: curl/7.88.1",
        "Accept: */*",
        "Content-Type: application/json",
        "Content-Length: 22",
    ),
    "Chrome, 16 headers": _head(
        "GET /status?console=0 HTTP/1.1",
        "Host: 127.0.0.1:8000",
        "Connection: keep-alive",
        "Cache-Control: max-age=0",
        'sec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24"',
        "sec-ch-ua-mobile: ?0",
        'sec-ch-ua-platform: "Linux"',
        "Upgrade-Insecure-Requests: 1",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/131.0.0.0 Safari/537.36",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-User: ?1",
        "Sec-Fetch-Dest: document",
        "Referer: http://127.0.0.1:8000/",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-US,en;q=0.9",
    ),
}


class Fields:
    """The target and the headers that llhttp reports."""

    __slots__ = ("pairs", "target")

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        self.target = b""

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name, value))


def by_patterns(block: bytes) -> RequestHead:
    return PATTERN_HEAD_PARSER.parse_request_head(block, DEFAULT_OPTIONS)


def by_callbacks(block: bytes) -> Fields:
    fields = Fields()
    _httptools.HttpRequestParser(fields).feed_data(block)
    return fields


def by_httptools(block: bytes) -> RequestHead:
    """ValueError if the head is not acceptable. It need not say what is wrong: the patterns do."""
    fields = Fields()
    parser = _httptools.HttpRequestParser(fields)
    parser.feed_data(block)
    target, version = fields.target.decode("latin-1"), parser.get_http_version()
    line = b"%s %s HTTP/%s\r\n" % (parser.get_method(), fields.target, version.encode("ascii"))
    if b"\n " in block or b"\n\t" in block or not block.startswith(line):
        raise ValueError("llhttp takes what pybrpc refuses")
    if version not in ("1.0", "1.1") or not TARGET.fullmatch(target):
        raise ValueError("llhttp takes what pybrpc refuses")
    pairs = [
        (name.decode("latin-1"), value.decode("latin-1").rstrip(" \t"))
        for name, value in fields.pairs
    ]
    method = parser.get_method().decode("ascii")
    return new_request_head(method, target, int(version[2:]), pairs, DEFAULT_OPTIONS)


_FOUND: dict[bytes, tuple[Any, ...]] = {}


def shared(block: bytes) -> RequestHead:
    found = _FOUND.get(block)
    if found is None:
        head = by_patterns(block)
        found = head.method, head.target, 1, list(head.headers.fields()), DEFAULT_OPTIONS
        _FOUND[block] = found
    return new_request_head(*found)


PARSERS: Mapping[str, Parse] = {
    "patterns": by_patterns,
    "httptools": by_httptools,
    "callbacks": by_callbacks,
    "shared": shared,
}


def nothing(block: bytes) -> None:
    """The cost of counting, and of a call."""


STEPS: Sequence[Parse] = (nothing, *PARSERS.values())
Costs = dict[str, list[float]]
"""For each head the costs of all parsers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        parse_all()
        return
    for block in HEADS.values():
        check_that_heads_are_equal(block)
    unit, costs = ("instructions", instructions()) if given.instructions else ("ns", times_ns())
    print(f"{unit:20}" + "".join(f"{name:>12}" for name in PARSERS))
    for head, row in costs.items():
        print(f"{head:20}" + "".join(f"{each:12,.0f}" for each in row))


def check_that_heads_are_equal(block: bytes) -> None:
    ours, theirs = by_patterns(block), by_httptools(block)
    assert repr(ours) == repr(theirs)
    assert list(ours.headers.fields()) == list(theirs.headers.fields())


def parse_often(parse: Parse, block: bytes, calls: int) -> None:
    for _ in range(calls):
        parse(block)


def times_ns() -> Costs:
    """Processor time of each parser, in turns."""
    return {head: _times_ns(block) for head, block in HEADS.items()}


def _times_ns(block: bytes) -> list[float]:
    best = dict.fromkeys(PARSERS, float("inf"))
    for _ in range(ROUNDS):
        for name, parse in PARSERS.items():
            begin = time.process_time_ns()
            parse_often(parse, block, ROUND_CALLS)
            best[name] = min(best[name], time.process_time_ns() - begin)
    return [each / ROUND_CALLS for each in best.values()]


def instructions() -> Costs:
    """Instructions of each parser for each head, by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        counting = ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}")
        parsing = (sys.executable, "-m", "bench.experiments.http_heads", "--inside")
        command, environment = [*counting, *parsing], {"PYTHONHASHSEED": "0"}
        with ChildProcess(command, environment, "callgrind", end_limit_s=LIMIT_S) as process:
            steps = 1 + len(HEADS) * len(STEPS)
            found = [_count_step(process, out, number) for number in range(1, steps + 1)][1:]
    rows: Costs = {}
    for head in HEADS:
        nothing, *row = found[: len(STEPS)]
        rows[head] = [(each - nothing) / COUNTED for each in row]
        del found[: len(STEPS)]
    return rows


def _count_step(process: ChildProcess, out: Path, number: int) -> int:
    """The instructions of a step: callgrind writes them down, and begins again at 0."""
    process.read_line(LIMIT_S)
    command = ("callgrind_control", "--dump", str(process.pid))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.write_line("go on")
    text = out.with_name(f"{out.name}.{number}").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("totals:")).split()[1])


def parse_all() -> None:
    """In callgrind: the steps, and a line after each of them."""
    for block in HEADS.values():
        for parse in STEPS:
            parse_often(parse, block, 1)
    _wait()
    for block in HEADS.values():
        for parse in STEPS:
            parse_often(parse, block, COUNTED)
            _wait()


def _wait() -> None:
    print("counted", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
