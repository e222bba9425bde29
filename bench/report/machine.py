"""On what it ran. No name of a machine or a user."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.http.servers import SERVERS
from bench.peers import ENTRIES
from bench.peers.pybrpc_modes import implementation

ALSO = ("protobuf", "redis", "hiredis")


def machine() -> dict[str, Any]:
    """For the page and for the file."""
    measured = [entry.package for entry in ENTRIES.values()]
    measured += [server.package for server in SERVERS.values()]
    packages = sorted({package for package in measured if package} | set(ALSO))
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpus": os.cpu_count(),
        "processor": processor(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "pybrpc": implementation(),
        "versions": {name: version for name in packages if (version := version_of(name))},
        "load": [round(number, 2) for number in os.getloadavg()],
    }


def processor() -> str:
    """The name of the processor in /proc/cpuinfo, or ""."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
