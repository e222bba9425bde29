"""wrk, a program that sends the same request over many connections: one thread, 64 connections.

A request in which a response is an error, or a connection fails, is a failure of the whole run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.child_process import ChildFailedError
from bench.http.tasks import Task

COMMAND = "wrk"
EXTRA_LIMIT_S = 30.0
"""A wrk that runs for so much longer than it should hangs."""

SCRIPT = """
wrk.method = "{method}"
wrk.body = {body}
wrk.headers["Content-Type"] = {content_type}
{request}
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nfound {{"calls": %d, "micros": %d, "connect": %d, "read": %d, "write": %d, ' ..
    '"status": %d, "timeout": %d, "p50_us": %d, "p99_us": %d}}\\n',
    summary.requests, summary.duration, errors.connect, errors.read, errors.write,
    errors.status, errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"""

OTHER_HEAD = """
local count = 0
function request()
  count = count + 1
  return wrk.format(nil, nil, {["X-Request-Number"] = count})
end
"""
"""A header that is another one in each request."""


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of wrk."""

    calls: int
    seconds: float
    p50_us: float
    p99_us: float


def missing() -> str:
    """Why there is none, or ""."""
    return "" if shutil.which(COMMAND) else f"there is no {COMMAND} on the PATH"


def run_wrk(
    port: int, task: Task, connections: int, seconds: int, do_heads_differ: bool = False
) -> Found:
    """Send requests to 127.0.0.1 for that time. ChildFailedError if any has no good answer."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "request.lua")
        script.write_text(script_for(task, do_heads_differ))
        command = [COMMAND, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
        url = f"http://127.0.0.1:{port}{task.path}"
        try:
            done = subprocess.run(
                [*command, url],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds + EXTRA_LIMIT_S,
                process_group=0,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ChildFailedError(f"{COMMAND} did not end") from None
    return read_output(done.stdout)


def script_for(task: Task, do_heads_differ: bool) -> str:
    """The script in Lua that makes the requests, and prints what was found."""
    return SCRIPT.format(
        method="POST" if task.body else "GET",
        body=json.dumps(task.body.decode()) if task.body else "nil",
        content_type=f'"{task.content_type}"' if task.body else "nil",
        request=OTHER_HEAD if do_heads_differ else "",
    )


def read_output(output: str) -> Found:
    """The figures in the output. ChildFailedError if there were errors, or no answers."""
    lines = [line for line in output.splitlines() if line.startswith("found ")]
    if not lines:
        last = output.strip().splitlines()[-1:]
        raise ChildFailedError(f"{COMMAND} has failed: {''.join(last)}")
    found = json.loads(lines[-1].removeprefix("found "))
    kinds = ("connect", "read", "write", "status", "timeout")
    errors = [f"{found[kind]} of {kind}" for kind in kinds if found[kind]]
    if errors:
        raise ChildFailedError(f"{COMMAND} has seen errors: {', '.join(errors)}")
    if not found["calls"]:
        raise ChildFailedError(f"{COMMAND} has seen no answer")
    return Found(found["calls"], found["micros"] / 1e6, found["p50_us"], found["p99_us"])
