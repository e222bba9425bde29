"""pybrpc check: show what is installed, which form runs, and whether this machine can compile."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from google.protobuf.internal import api_implementation

from pybrpc.base.implementation import HOT_MODULES, __impl__, find_hot_modules
from pybrpc.cli.command import FAILED, OK, UsageError
from pybrpc.cli.output import Output

EXTRAS = {
    "asgi": ("websockets",),
    "cli": ("rich",),
    "crc32c": ("crc32c",),
    "dns": ("dnspython",),
    "json": ("orjson",),
    "murmur3": ("mmh3",),
    "opentelemetry": ("opentelemetry-sdk",),
    "redis": ("hiredis",),
    "snappy": ("cramjam",),
    "uvloop": ("uvloop",),
    "zookeeper": ("kazoo",),
}
"""The distributions of each extra that a program may want."""

EXAMPLE = """\
examples:
  pybrpc check
  pybrpc check --require compiled --require json    # exit status 1 if one of them is missing"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="WHAT",
        help='an extra, or "compiled": exit with 1 if it is not there; may be given several times',
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Print what is there. Exit status 1 if something that is required is not."""
    known = ["compiled", *EXTRAS]
    for each in options.require:
        if each not in known:
            raise UsageError(f"--require {each}: must be one of {', '.join(known)}")
    found = facts()
    there = {
        "compiled": __impl__ == "compiled",
        **{name: bool(found["extras"][name]) for name in EXTRAS},
    }
    missing = [each for each in options.require if not there[each]]
    if output.is_json:
        output.value({**found, "missing": missing})
    else:
        print_facts(found, output)
        for each in missing:
            output.note(f"pybrpc check: {hint(each)}")
    return FAILED if missing else OK


def hint(missing: str) -> str:
    """The way to get something that is required."""
    if missing == "compiled":
        return f"the compiled form does not run; {compiling_text(compiler(), has_headers())}"
    return f'the extra {missing} is not installed: pip install "pybrpc[{missing}]"'


def facts() -> dict[str, Any]:
    """All that is known, as JSON may have it."""
    package = sys.modules["pybrpc"]
    root = Path(package.__path__[0]).parent
    hot_modules = find_hot_modules(HOT_MODULES, str(root / "pybrpc"))
    built = sum(module.extension is not None for module in hot_modules)
    return {
        "pybrpc": package.__version__,
        "path": str(root / "pybrpc"),
        "form": __impl__,
        "compiled_modules": built,
        "hot_modules": len(HOT_MODULES),
        "compiler": compiler(),
        "python_headers": has_headers(),
        "python": platform.python_version(),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "platform": platform.platform(),
        "protobuf": version_of("protobuf"),
        "protobuf_implementation": api_implementation.Type(),
        "cereggii": version_of("cereggii"),
        "protoc": shutil.which("protoc"),
        "extras": {name: versions(names) for name, names in EXTRAS.items()},
    }


def versions(names: tuple[str, ...]) -> dict[str, str] | None:
    """The version of each distribution; `None` if one is not installed."""
    found = {name: version_of(name) for name in names}
    return None if None in found.values() else {name: str(each) for name, each in found.items()}


def version_of(distribution: str) -> str | None:
    """The version of a distribution; `None` if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def compiler() -> str | None:
    """The path of the C compiler that `pip install` would use; `None` if there is none."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return shutil.which(words[0]) if words else None


def has_headers() -> bool:
    """Whether the headers of this Python are there."""
    return Path(sysconfig.get_path("include"), "Python.h").is_file()


def compiling_text(found: str | None, headers: bool) -> str:
    """Whether `pip install` can compile here."""
    if found is None:
        return "it can't be compiled here: there is no C compiler"
    if not headers:
        return "it can't be compiled here: Python.h is missing (python3-dev)"
    return (
        f"it can be compiled here, with {found}: "
        "PYBRPC_BUILD=compiled pip install . (in a checkout)"
    )


def print_facts(found: dict[str, Any], output: Output) -> None:
    """Print the facts for people."""
    built, hot = found["compiled_modules"], found["hot_modules"]
    threads = ", free-threaded" if found["free_threaded"] else ""
    compiling = compiling_text(found["compiler"], found["python_headers"])
    rows = [
        ("pybrpc", f"{found['pybrpc']}, {found['path']}"),
        ("form", f"{found['form']}; {built} of {hot} hot modules are compiled"),
        ("compiling", compiling),
        ("python", f"{found['python']}{threads}, {found['platform']}"),
        ("protobuf", f"{found['protobuf']} ({found['protobuf_implementation']})"),
        ("cereggii", found["cereggii"] or "not installed"),
        ("protoc", found["protoc"] or "not found; .proto files need it, or grpcio-tools"),
    ]
    for name, text in rows:
        output.line(f"{name:<15} {text}")
    output.line("extras")
    for name, installed in found["extras"].items():
        text = f'not installed: pip install "pybrpc[{name}]"'
        if installed:
            text = ", ".join(f"{each} {version}" for each, version in installed.items())
        output.line(f"  {name:<13} {text}")
