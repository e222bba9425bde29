"""python -m bench.imports: the cost of imports, beside `import grpc`.

Each row is a new process of Python, which imports, and makes a channel or a server if the row says
so. All rows take their turn in each round, with bytecode at hand. Processor time, user and system,
from the start of the process to its end; the ratio is that of neighbours in the same round. "And
messages": with what each generated module of protobuf imports, as programs that call do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

GRPC = "import grpc"
PYBRPC = "import pybrpc"
MOST = 0.7
"""The most that `import pybrpc` may take of the processor time of `import grpc`."""

_MESSAGES = (
    "from google.protobuf import descriptor_pool, runtime_version, symbol_database; "
    "from google.protobuf.internal import builder"
)
_CHANNEL = 'import pybrpc; pybrpc.Stub; pybrpc.Channel("127.0.0.1:1").close()'

ROWS: Mapping[str, str] = {
    "nothing": "pass",
    GRPC: GRPC,
    f"{GRPC}, and messages": f"{GRPC}; {_MESSAGES}",
    PYBRPC: PYBRPC,
    "Channel and Stub": _CHANNEL,
    "Channel and Stub, and messages": f"{_CHANNEL}; {_MESSAGES}",
    "aio.Channel and Stub": 'import pybrpc; pybrpc.Stub; pybrpc.aio.Channel("127.0.0.1:1")',
    "Server": "import pybrpc; pybrpc.Server()",
}
"""The programs of the processes, by the name of the row."""

_COUNT = "; import sys; print(len(sys.modules))"


@dataclass(frozen=True, slots=True)
class Cost:
    """The processor time of a process, and the number of its modules at its end."""

    cpu_s: float
    modules: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each is measured (9)")
    rounds = parser.parse_args(arguments).rounds
    rows = {name: text for name, text in ROWS.items() if "grpc" not in text or find_spec("grpc")}
    costs = measure(rows, max(1, rounds))
    print(f"{'':32} {'ms':>6} {'of ' + GRPC:>15} {'modules':>8}")
    for name, measured in costs.items():
        cpu_ms = statistics.median(cost.cpu_s for cost in measured) * 1000
        ratio = f"{ratio_of(costs, name):.2f}" if GRPC in costs else ""
        print(f"{name:32} {cpu_ms:6.0f} {ratio:>15} {measured[-1].modules:8}")
    if GRPC in costs:
        found = ratio_of(costs, PYBRPC)
        verdict = "met" if found <= MOST else "missed"
        print(f"\n{PYBRPC} {found:.2f} of {GRPC}  # expected at most {MOST}: {verdict}")
    return 0


def measure(rows: Mapping[str, str], rounds: int) -> dict[str, list[Cost]]:
    """All rows in each round. One round more, the first, writes bytecode and is not counted."""
    costs: dict[str, list[Cost]] = {name: [] for name in rows}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name, program in rows.items():
                cost = cost_of(program, folder)
                if number:
                    costs[name].append(cost)
    return costs


def cost_of(program: str, bytecode: str) -> Cost:
    """That of a new process that runs `program`. `bytecode`: the folder of its bytecode.

    CalledProcessError if it fails.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", program + _COUNT]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(usage.ru_utime + usage.ru_stime, int(printed))


def ratio_of(costs: Mapping[str, Sequence[Cost]], name: str) -> float:
    """The median of the rounds: the processor time of a row divided by that of `import grpc`."""
    pairs = zip(costs[name], costs[GRPC], strict=True)
    return statistics.median(cost.cpu_s / of_grpc.cpu_s for cost, of_grpc in pairs)


if __name__ == "__main__":
    sys.exit(main())
