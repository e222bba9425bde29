"""Variables that say which features the library has, as texts."""

from __future__ import annotations

import sys
from functools import partial

from pybrpc.metrics.features import FEATURES
from pybrpc.metrics.process_variables import expose_once
from pybrpc.metrics.status import PassiveStatus, Status
from pybrpc.naming.schemes import naming_schemes
from pybrpc.protocols.registry import all_protocols
from pybrpc.rpc.checksum import ChecksumType, checksum_name
from pybrpc.rpc.compress import CompressType, compress_name


def expose_library_variables() -> None:
    """Expose those that are not exposed yet. Any thread."""
    expose_once("rpc_protocols", lambda: PassiveStatus(_protocols, help="Protocols of servers"))
    expose_once("rpc_compressions", lambda: Status(_compressions()))
    expose_once(
        "rpc_checksums", lambda: Status(" ".join(map(checksum_name, filter(None, ChecksumType))))
    )
    expose_once("rpc_profilers", lambda: Status("cpu heap growth contention"))
    for name, text in FEATURES.items():
        expose_once(name, partial(PassiveStatus, text))
    expose_once("rpc_naming_service", lambda: PassiveStatus(_naming, help="Naming services"))
    expose_once("rpc_revision", lambda: Status(_revision()))


def _protocols() -> str:
    return " ".join(protocol.name for protocol in all_protocols())


def _naming() -> str:
    return " ".join(naming_schemes())


def _compressions() -> str:
    names = [compress_name(kind) for kind in CompressType if kind]
    return " ".join(name for name in names if name != "unknown")


def _revision() -> str:
    return f"pybrpc {sys.modules['pybrpc'].__version__}"
