"""The processor time of processes. That of a group of them needs Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from pathlib import Path

PROCESSES = Path("/proc")
ENDED = "Z"
"""The state of a process whose parent has not asked for its end."""


def group_cpu_s(group: int) -> float:
    """Processor time so far of all processes of the group, user and system, in seconds."""
    total = 0.0
    for pid in members(group):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            total += cpu_s_of(pid)
    return total


def members(group: int) -> list[int]:
    """The ids of the processes of a group that run."""
    found = []
    for folder in PROCESSES.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                # The name of the program, in brackets, may have blanks.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group and fields[0] != ENDED:
                    found.append(int(folder.name))
    return found


def cpu_s_of(pid: int) -> float:
    """Processor time of a process so far, user and system, in seconds. OSError if it is gone."""
    clock = ctypes.c_int()
    if error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def missing() -> str:
    """Why it can't be known here, or ""."""
    has_it = (PROCESSES / str(os.getpid()) / "stat").is_file()
    return "" if has_it else "processor time of a group of processes needs Linux"
