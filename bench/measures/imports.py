"""The cost of imports, in new processes. `bench.imports` shows more of it."""

from __future__ import annotations

import functools
import tempfile

from bench.figures import Figures
from bench.imports import cost_of
from bench.measures import runs
from bench.measures.measure import Measure
from bench.site import Site
from bench.work import Imports, Window, Work

PROGRAMS = {
    "pybrpc": {
        "the package": "import pybrpc",
        "a channel": 'import pybrpc; pybrpc.Stub; pybrpc.Channel("127.0.0.1:1").close()',
        "a channel of asyncio": 'import pybrpc; pybrpc.Stub; pybrpc.aio.Channel("127.0.0.1:1")',
        "a server": "import pybrpc; pybrpc.Server()",
    },
    "grpcio": {
        "the package": "import grpc",
        "a channel": 'import grpc; grpc.insecure_channel("127.0.0.1:1").close()',
        "a channel of asyncio": "import grpc.aio",
        "a server": (
            "import grpc, concurrent.futures; "
            "grpc.server(concurrent.futures.ThreadPoolExecutor()).stop(None)"
        ),
    },
}


@functools.cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    assert isinstance(work, Imports)
    program = PROGRAMS[name][work.part]
    cost_of(program, _bytecode().name)  # which writes bytecode, if it is the first one
    cost = cost_of(program, _bytecode().name)
    return {"calls": 1, "import_us": cost.cpu_s * 1e6, "modules": cost.modules}


MEASURE = Measure(
    name="imports",
    title="A new process that imports a library, and makes what is named",
    axis="with",
    points={part: Imports(part) for part in PROGRAMS["pybrpc"]},
    peers=tuple(PROGRAMS),
    run=run,
    tables=("import_us", "modules"),
    missing=runs.missing,
    is_extra=True,
)
