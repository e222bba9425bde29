"""python -m bench.instructions: how many instructions a call costs the client, or the server.

Counted by valgrind's callgrind: unlike times they are the same again on a machine that is busy, so
they show what a change of a few percent does. They say nothing of caches, system calls and waiting.
One side runs under callgrind, the other one freely. To leave out the cost of starting, it
measures two numbers of calls and reports the difference.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.child_process import END_LIMIT_S, ChildProcess
from bench.counted_loop import LOOPS
from bench.peers import ENTRIES
from bench.peers.entry import Kind
from bench.peers.pybrpc_modes import PROTOCOL_VARIABLE, SPANS_PER_S, SPANS_VARIABLE
from bench.slowed import SLOWER
from bench.work import SMALL_BYTES

SIDES = ("client", "server")
START_LIMIT_S = 120.0
"""How long a process may take to start in callgrind, and to end."""
CALLS_LIMIT_S = 1200.0
_CYTHON = re.compile(r"__pyx_(?:f|pw)_6pybrpc_(\w+)")
_SIZED = re.compile(r"(\d+)(?=[A-Za-z_])")
_ROW = re.compile(r"\s*([\d,]+) \([ \d.]+%\)\s+(\S+)")

Costs = Counter[str]
"""Instructions by function, those of what it calls included; "" for all of it."""


def count(side: str, peer: str, in_flight: int, calls: int) -> Costs:
    """The instructions of `calls` calls, and of switching callgrind on and off."""
    server = ENTRIES[peer].server or peer
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory()), "callgrind.out")
        serve = ("bench.child", "serve", server)
        serving = stack.enter_context(running(serve, out if side == "server" else None))
        port = serving.read_line(START_LIMIT_S)
        call = ("bench.instructions", "--inside", peer, str(in_flight), str(calls), port)
        calling = stack.enter_context(running(call, out if side == "client" else None))
        counted = serving if side == "server" else calling
        for step in ("warm", "counted", "over"):
            assert calling.read_line(CALLS_LIMIT_S) == step
            if step != "over":
                switch(counted.pid, step == "warm")
            calling.write_line("go on")
        calling.close()
        serving.close()
        return costs_of(out)


def per_call(side: str, peer: str, in_flight: int, calls: int) -> dict[str, float]:
    """The instructions of one call, those of the start left out: `calls` are made, and thrice as
    many."""
    few, many = (count(side, peer, in_flight, n * calls) for n in (1, 3))
    return {name: (many[name] - few[name]) / (2 * calls) for name in many}


@contextlib.contextmanager
def running(arguments: Sequence[str], out: Path | None) -> Iterator[ChildProcess]:
    """That module with its arguments, under callgrind if it shall write to `out`."""
    options = ("--instr-atstart=no", f"--callgrind-out-file={out}")
    under = ("valgrind", "--quiet", "--tool=callgrind", *options) if out else ()
    slowed = ("bench.slowed",) if out else ()
    command = [*under, sys.executable, "-m", *slowed, *arguments]
    environment = {"PYTHONHASHSEED": "0", SPANS_VARIABLE: str(SPANS_PER_S // SLOWER)}
    limit_s = START_LIMIT_S if out else END_LIMIT_S
    with ChildProcess(command, environment, arguments[0], end_limit_s=limit_s) as process:
        yield process


def switch(pid: int, is_on: bool) -> None:
    command = ("callgrind_control", "-i", "on" if is_on else "off", str(pid))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def costs_of(out: Path) -> Costs:
    command = ("callgrind_annotate", "--inclusive=yes", "--threshold=100", str(out))
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    costs: Costs = Counter()
    for line in text.splitlines():
        if row := _ROW.match(line):
            costs[readable(row[2])] += int(row[1].replace(",", ""))
    return costs


def readable(name: str) -> str:
    """ "client.call.Call.start" for what Cython has made of that; "" for the whole program."""
    if name == "PROGRAM":
        return ""
    made = _CYTHON.match(function := name.rpartition(":")[2])
    if made is None:
        return function
    parts, rest = [], made[1]
    while sized := _SIZED.match(rest):
        rest = rest[sized.end() :]
        size = int(sized[1])
        if rest[size : size + 1] != "_":  # it was not a size, but numbers the function
            break
        parts.append(rest[:size])
        rest = rest[size + 1 :]
    return ".".join([*parts, rest])


def call_inside(peer: str, in_flight: int, calls: int, port: int) -> None:
    """In the client's process: warm up, make the calls, tell and wait after each step."""
    entry, payload = ENTRIES[peer], bytes(SMALL_BYTES)
    make, loaded = LOOPS[entry.kind], entry.load()

    def tell(step: str) -> None:
        print(step, flush=True)
        sys.stdin.readline()

    async def in_loop() -> None:
        async with loaded.client(port) as client:
            for step, number in (("warm", 10 * in_flight), ("counted", calls)):
                await make(client, in_flight, number, payload)
                tell(step)

    if entry.kind is Kind.AIO:
        entry.run_loop(in_loop())
    else:
        with loaded.client(port) as client:
            for step, number in (("warm", 10 * in_flight), ("counted", calls)):
                make(client, in_flight, number, payload)
                tell(step)
    tell("over")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--peer", choices=ENTRIES, default="pybrpc-aio")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--side", choices=SIDES, help="only this one")
    parser.add_argument("--protocol", default="baidu_std", help="of pybrpc's channels")
    parser.add_argument("--calls", type=int, default=3000, help="the fewer; then thrice as many")
    parser.add_argument("--rows", type=int, default=0, help="compiled functions to list")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        peer, *numbers = given.inside
        call_inside(peer, *map(int, numbers))
        return
    os.environ[PROTOCOL_VARIABLE] = given.protocol
    for side in [given.side] if given.side else SIDES:
        costs = per_call(side, given.peer, given.in_flight, given.calls)
        what = f"{given.peer}, {given.protocol}, {given.in_flight} in flight"
        print(f"{side} of {what}: {costs['']:,.0f} a call")
        own = [name for name in costs if "." in name]
        for name in sorted(own, key=costs.__getitem__, reverse=True)[: given.rows]:
            print(f"{costs[name]:9,.0f}  {name}")


if __name__ == "__main__":
    main()
