"""Which form of the hot modules runs: the `.py` that you read, or the same one compiled by Cython.

A hot module has a sibling `.pxd`, which says what is a C struct and a C integer in it. Installing
compiles all of them, or none, and puts each extension module beside its `.py`. Python prefers an
extension module to a `.py`, so compiled ones run where they are, unless `PYBRPC_IMPL=python` asks
for the others: then a finder of this package shows the import system the `.py`.

What was asked for and can't be had is an ImportError, and so is a mixture, or, in a source tree, an
extension module that is older than its source: nothing falls back in silence.

This module is imported before any other of the package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

HOT_MODULES = (
    "pybrpc.base.gil_atomic",
    "pybrpc.client.aio_forms",
    "pybrpc.client.aio_stub_method",
    "pybrpc.client.attempt",
    "pybrpc.client.call",
    "pybrpc.client.call_record",
    "pybrpc.client.connection",
    "pybrpc.client.forms",
    "pybrpc.client.loop_side",
    "pybrpc.client.loop_wakes",
    "pybrpc.client.rpc_connection",
    "pybrpc.client.stub_method",
    "pybrpc.iobuf.blocks",
    "pybrpc.iobuf.gather",
    "pybrpc.iobuf.io_portal",
    "pybrpc.iobuf.iobuf",
    "pybrpc.protocols.baidu_std.baidu_std",
    "pybrpc.protocols.baidu_std.meta_codec",
    "pybrpc.protocols.baidu_std.usual_frames",
    "pybrpc.protocols.message",
    "pybrpc.rpc.body",
    "pybrpc.rpc.controller",
    "pybrpc.rpc.message_type",
    "pybrpc.rpc.method",
    "pybrpc.rpc.timeout_queue",
    "pybrpc.server.call_runner",
    "pybrpc.server.handler_loop",
    "pybrpc.server.in_place",
    "pybrpc.server.outbox",
    "pybrpc.server.server_call",
    "pybrpc.server.server_connection",
    "pybrpc.server.server_run",
    "pybrpc.server.service_registry",
    "pybrpc.server.worker",
    "pybrpc.server.worker_pool",
    "pybrpc.transport.backlog",
    "pybrpc.transport.driver_seat",
    "pybrpc.transport.epoll_dispatcher",
    "pybrpc.transport.message_cutter",
    "pybrpc.transport.pending_writes",
    "pybrpc.transport.process_backlog",
    "pybrpc.transport.reader",
    "pybrpc.transport.relief",
    "pybrpc.transport.socket",
    "pybrpc.transport.wake_chain",
    "pybrpc.transport.write_queue",
    "pybrpc.transport.write_request",
    "pybrpc.transport.writer",
)
"""Every module that has a `.pxd`."""

_REBUILD = "Build it again (make compiled, or PYBRPC_BUILD=compiled pip install .)"
_USE_PYTHON = "set PYBRPC_IMPL=python"


@dataclass(frozen=True, slots=True)
class HotModule:
    """One module that may be compiled, and what of it lies on the disk."""

    name: str
    source: Path
    extension: Path | None

    @property
    def is_stale(self) -> bool:
        """Whether its source was changed since. An installed package has no `.pxd` and can't be."""
        declarations = self.source.with_suffix(".pxd")
        if self.extension is None or not declarations.exists():
            return False
        built_at = self.extension.stat().st_mtime
        return any(path.stat().st_mtime > built_at for path in (self.source, declarations))


def find_hot_module(name: str, root: Path) -> HotModule:
    """What there is of a module in the directory `root` of its top package."""
    source = root.joinpath(*name.split(".")[1:]).with_suffix(".py")
    candidates = [source.with_suffix(suffix) for suffix in EXTENSION_SUFFIXES]
    return HotModule(name, source, next((path for path in candidates if path.exists()), None))


def choose(wanted: str | None, modules: Sequence[HotModule]) -> str:
    """What to run, "python" or "compiled"; ImportError if that can't be said."""
    if wanted not in (None, "", "python", "compiled"):
        raise ImportError(f"PYBRPC_IMPL is python, compiled, or not set; not {wanted!r}")
    missing = [module.name for module in modules if module.extension is None]
    if wanted == "python":
        return "python"
    if len(missing) == len(modules):
        if wanted == "compiled":
            raise ImportError(f"PYBRPC_IMPL=compiled, but pybrpc is not compiled. {_REBUILD}")
        return "python"
    if missing:
        names = ", ".join(missing)
        raise ImportError(
            f"pybrpc is compiled in part, without {names}. {_REBUILD}, or {_USE_PYTHON}"
        )
    stale = [module.name for module in modules if module.is_stale]
    if stale:
        raise ImportError(
            f"{', '.join(stale)} changed after pybrpc was compiled. {_REBUILD}, or {_USE_PYTHON}"
        )
    return "compiled"


class PythonFinder:
    """Finds the `.py` of modules that have an extension module beside it."""

    def __init__(self, modules: Sequence[HotModule]) -> None:
        self._sources = {module.name: module.source for module in modules}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        source = self._sources.get(name)
        return None if source is None else spec_from_file_location(name, source)


def _set_up() -> str:
    root = Path(__file__).parent.parent
    modules = [find_hot_module(name, root) for name in HOT_MODULES]
    implementation = choose(os.environ.get("PYBRPC_IMPL"), modules)
    if implementation == "python" and any(module.extension for module in modules):
        sys.meta_path.insert(0, PythonFinder(modules))
    return implementation


__impl__ = _set_up()
"""What runs in this process: "python" or "compiled"."""
