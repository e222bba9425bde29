"""Runs a function of a test module in a process of its own, within a time limit.

Some faults crash the interpreter, hang it, or stop the threads that the library needs. In a child
process each of them is an ordinary failure of one test.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pybrpc

ROOT = Path(__file__).parents[2]
PACKAGES = Path(pybrpc.__file__).parents[1]
LIMIT_S = 40.0

RUN = "import sys; from tests.cases.child import main; main(*sys.argv[1:])"


class ChildError(Exception):
    """The function raised, or its process ended without a result."""


class ChildCrashedError(ChildError):
    """A signal has ended the process."""


class ChildTimeoutError(ChildError):
    """The process was still running at the end of its time."""


def child_environment(**extra: str) -> dict[str, str]:
    """The environment in which a child imports the same pybrpc and these tests."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(PACKAGES), str(ROOT))), **extra}


def run_in_child(
    function: Callable[..., Any], *arguments: Any, limit_s: float = LIMIT_S, **environment: str
) -> Any:
    """Call `function(*arguments)` in a new process, and return its result.

    `function` must be defined at the top level of its module; its arguments and result must survive
    JSON. `environment` is added to that of the child. Logging is off in the child.
    """
    module, name = function.__module__, function.__qualname__
    output = run_script(
        RUN, module, name, json.dumps(arguments), limit_s=limit_s, name=name, **environment
    )
    return json.loads(output.splitlines()[-1])


def run_script(
    code: str,
    *arguments: str,
    limit_s: float = LIMIT_S,
    name: str = "the script",
    **environment: str,
) -> str:
    """Run this code in a new process, and return its stdout."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=child_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise ChildTimeoutError(f"{name} has not ended after {limit_s} s") from None
    finally:
        # Also what the child has started and left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode < 0:
        raise ChildCrashedError(f"{name} was ended by {signal.Signals(-process.returncode).name}")
    if process.returncode != 0:
        raise ChildError(f"{name} has ended with {process.returncode}:\n{errors[-4000:]}")
    return output


def main(module: str, name: str, arguments: str) -> None:
    """The child: run one function, print what it returns, end without waiting for any thread."""
    if os.environ.get("PYBRPC_MUTANT"):
        importlib.import_module("tests.schedules.end_mutants")
    logging.disable()
    threading.excepthook = lambda _: None
    code = 1
    try:
        result = getattr(importlib.import_module(module), name)(*json.loads(arguments))
        print(json.dumps(result))
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
