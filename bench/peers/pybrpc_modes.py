"""Environments of pybrpc's processes: plain Python where it is compiled, other limits of traces,
other protocols."""

from __future__ import annotations

import os
from typing import Any

SPANS_PER_S = 1000
SPANS_VARIABLE = "PYBRPC_BENCH_SPANS_PER_S"
"""Another limit than SPANS_PER_S, for processes that are slower than usual."""
PROTOCOL_VARIABLE = "PYBRPC_BENCH_PROTOCOL"
"""Another protocol than baidu_std, for the channels of those that call by blocking, callbacks or
asyncio. The servers speak all of them."""

PLAIN_ENVIRONMENT = {"PYBRPC_IMPL": "python"}


def implementation() -> str:
    """ "python" or "compiled"."""
    import pybrpc  # the processes of other libraries don't need it

    return str(getattr(pybrpc, "__impl__", "python"))


def protocol() -> str:
    """The `protocol` of channels."""
    return os.environ.get(PROTOCOL_VARIABLE, "baidu_std")


def why_not_plain() -> str:
    return "pybrpc is plain Python here anyway" if implementation() == "python" else ""


def why_not_auto() -> str:
    import pybrpc

    connection_type: Any = "auto"
    try:
        pybrpc.Channel("127.0.0.1:1", connection_type=connection_type).close()
    except ValueError as error:
        return f"this pybrpc has no such connection_type: {error}"
    return ""
